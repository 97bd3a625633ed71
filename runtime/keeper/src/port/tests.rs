//! Clients that are silent, slow, or talk too much; and how other tests ask.

use std::net::SocketAddr;

use super::*;

const PLACES: usize = 4;

/// A listening socket of a test.
pub(crate) fn listener() -> (TcpListener, SocketAddr) {
    let listener = hotbay_sys::listener::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Asks, has the server turn until the connection is closed, and returns all that came. Nothing else than a proper end is accepted.
pub(crate) fn ask(address: SocketAddr, request: &[u8], mut turn: impl FnMut()) -> String {
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(request).unwrap();
    client.set_nonblocking(true).unwrap();
    let (mut answer, mut buffer) = (Vec::new(), [0; 65536]);
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        turn();
        match client.read(&mut buffer) {
            Ok(0) => return String::from_utf8(answer).unwrap(),
            Ok(length) => answer.extend_from_slice(&buffer[..length]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    panic!("no answer within 60 s")
}

/// Has the server turn until it is so: a client that has connected is not always in the listener's queue already, nor are its bytes at
/// the other end.
fn until(mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "not within 60 s");
    }
}

/// Answers `yes` to whatever begins with `ask`.
fn yes(request: &[u8]) -> Option<Reply> {
    request.starts_with(b"ask").then(|| Reply { bytes: b"yes".as_slice().into(), end: 3 })
}

fn port() -> (Port, SocketAddr) {
    let (listener, address) = listener();
    (Port::new(listener, PLACES), address)
}

#[test]
fn silent_clients_keep_nobody_out_and_the_oldest_goes_first() {
    let (mut port, address) = port();
    let now = Instant::now();
    let mut silent: Vec<_> = (0..PLACES).map(|_| TcpStream::connect(address).unwrap()).collect();
    silent.iter().for_each(|client| client.set_nonblocking(true).unwrap());
    until(|| {
        port.turn(now, &mut yes);
        port.connections.len() == PLACES
    });
    assert_eq!(ask(address, b"ask", || port.turn(now, &mut yes)), "yes", "no time has passed");
    let late = TcpStream::connect(address).unwrap();
    // The first that came has to go.
    until(|| {
        port.turn(now, &mut yes);
        silent[0].read(&mut [0]).is_ok_and(|length| length == 0)
    });
    assert_eq!(port.connections.len(), PLACES);
    silent[3].write_all(b"ask").unwrap();
    // The others are still heard.
    let mut answer = [0; 4];
    until(|| {
        port.turn(now, &mut yes);
        silent[3].read(&mut answer).is_ok()
    });
    assert_eq!(&answer, b"yes\0");
    drop(late);
}

#[test]
fn clients_that_take_no_answer_are_cleared_by_the_clock_and_not_by_others() {
    let (mut port, address) = port();
    let now = Instant::now();
    // More than socket buffers hold.
    let long: Rc<[u8]> = vec![b'x'; 64 << 20].into();
    let mut long = |_: &[u8]| Some(Reply { bytes: Rc::clone(&long), end: long.len() });
    let mut takers: Vec<_> = (0..PLACES).map(|_| TcpStream::connect(address).unwrap()).collect();
    for taker in &mut takers {
        taker.write_all(b"ask").unwrap();
    }
    until(|| {
        port.turn(now, &mut long);
        (port.connections.len(), port.due()) == (PLACES, Some(now + ANSWERING))
    });
    assert_eq!(port.interests().count(), PLACES, "the listener is left alone");
    port.turn(now + ANSWERING, &mut yes);
    assert_eq!(port.connections.len(), 0);
}

#[test]
fn who_owes_a_request_or_an_end_for_too_long_is_sent_away() {
    let (mut port, address) = port();
    let now = Instant::now();
    let _silent = TcpStream::connect(address).unwrap();
    let mut lingering = TcpStream::connect(address).unwrap();
    lingering.write_all(b"ask").unwrap();
    until(|| {
        port.turn(now, &mut yes);
        (port.connections.len(), port.due()) == (2, Some(now + CLOSING))
    });
    port.turn(now + CLOSING, &mut yes);
    assert_eq!((port.connections.len(), port.due()), (1, Some(now + ASKING)));
    port.turn(now + ASKING, &mut yes);
    assert_eq!(port.connections.len(), 0);
}

#[test]
fn who_still_sends_when_the_answer_comes_is_not_cut_off() {
    let (mut port, address) = port();
    let now = Instant::now();
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"ask, and").unwrap();
    until(|| {
        port.turn(now, &mut yes);
        port.due() == Some(now + CLOSING)
    });
    for _ in 0..UNREAD_BYTES / READ_BYTES - 1 {
        client.write_all(&[b'x'; READ_BYTES]).expect("the connection is not reset");
        port.turn(now, &mut yes);
    }
    client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!((answer.as_str(), port.connections.len()), ("yes", 1));
    drop(client);
    // Its end is seen.
    until(|| {
        port.turn(now, &mut yes);
        port.connections.is_empty()
    });
}

#[test]
fn who_never_stops_sending_is_cut_off() {
    let (mut port, address) = port();
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"ask, and").unwrap();
    client.set_nonblocking(true).unwrap();
    let now = Instant::now();
    let end = now + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < end, "it is not cut off");
        port.turn(now, &mut yes);
        match client.write(&[b'x'; READ_BYTES]) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => return,
            _ => {}
        }
    }
}
