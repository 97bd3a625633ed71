//! Look-ups, by modules that are all still starting: a target is found or not whether or not something runs it.

use super::*;

/// A table of one module for each `hostnames methods path`, separated by spaces; `-` for none, commas between several.
fn table(routes: &[&str]) -> Routes {
    let routes: Vec<Route> = routes.iter().map(|text| route(text)).collect();
    let claims = routes.iter().enumerate().map(|(index, route)| claim(index, route)).collect();
    Routes::build(claims).0
}

fn route(text: &str) -> Route {
    let words: Vec<&str> = text.split(' ').collect();
    let list = |word: &str| -> Vec<String> {
        word.split(',').filter(|one| *one != "-").map(str::to_owned).collect()
    };
    Route {
        hostnames: list(words[0]),
        methods: list(words[1]),
        path: words[2].parse().unwrap(),
        handler: "main".into(),
    }
}

fn claim(index: usize, route: &Route) -> Claim<'_> {
    let key = EntryKey::new("ns", &format!("m{index}")).unwrap();
    let precedence = Precedence { created: String::new(), key };
    Claim {
        precedence,
        routes: vec![(route, Lead { handler: 0, pooled: false })],
        instance: None,
        timeout: Duration::from_secs(1),
        limits: Limits::default(),
        in_flight: Arc::default(),
    }
}

/// `m1 rest=a/b`, or the value of Allow, or nothing.
fn found(routes: &Routes, host: &str, method: &str, path: &str) -> String {
    match routes.find(|| Some(host), &method.parse().unwrap(), path) {
        Found::Target(target, captures) => {
            let values = captures.names.iter().zip(&captures.ranges);
            let values: String =
                values.map(|(name, &(from, to))| format!(" {name}={}", &path[from..to])).collect();
            format!("{}{values}", target.key.name)
        }
        Found::MethodNotAllowed(allow) => allow.to_str().unwrap().to_owned(),
        Found::Nothing => String::new(),
    }
}

#[test]
fn another_method_does_not_hide_a_lesser_template() {
    let routes = table(&["- GET /f/me", "- PUT /f/{id}", "- POST /f/{*rest}"]);
    let found = |method, path| found(&routes, "h", method, path);
    assert_eq!(found("GET", "/f/me"), "m0");
    assert_eq!(found("HEAD", "/f/me"), "m0");
    assert_eq!(found("PUT", "/f/me"), "m1 id=me");
    assert_eq!(found("POST", "/f/me"), "m2 rest=me");
    assert_eq!(found("POST", "/f/a/b"), "m2 rest=a/b");
    assert_eq!(found("DELETE", "/f/me"), "GET, HEAD, POST, PUT", "all that the path has");
    assert_eq!(found("DELETE", "/f/7"), "POST, PUT");
    assert_eq!(found("GET", "/g"), "");
}

#[test]
fn another_method_does_not_hide_a_lesser_host() {
    let routes = table(&["a.example.com GET /x", "*.example.com PUT /x", "- POST /x"]);
    let found = |method| found(&routes, "a.example.com:80", method, "/x");
    assert_eq!([found("GET"), found("PUT"), found("POST")], ["m0", "m1", "m2"]);
    assert_eq!(found("DELETE"), "GET, HEAD, POST, PUT");
}
