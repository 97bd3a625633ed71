//! compiles

fn main() {
    use hotbay_sdk::{Response, handler, module};

    mod users {
        use hotbay_sdk::handler;

        #[handler(GET, "/users")]
        pub fn list() {}
    }

    fn create() -> Result<u8, String> {
        Ok(1)
    }

    fn stop(_state: &u8) {}

    #[handler(GET, "/")]
    fn hello() -> Response {
        Response::status(204)
    }

    module! { handlers: [hello, users::list], create: create, stop: stop }
}
