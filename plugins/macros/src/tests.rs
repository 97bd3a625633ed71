//! What authors are told when what they wrote is no handler or no module.

use proc_macro2::TokenStream;
use quote::quote;

use crate::{handler, module};

fn function() -> TokenStream {
    quote! { fn hello(request: Request) -> Response { Response::status(204) } }
}

/// The words of the errors in an expansion, which hands the function out in any case.
fn words(expanded: syn::Result<TokenStream>) -> String {
    match expanded {
        Ok(tokens) => tokens.to_string(),
        Err(error) => error.to_string(),
    }
}

fn refuses(arguments: TokenStream, item: TokenStream, expected: &str) {
    let words = words(handler::expand(arguments, item));
    assert!(words.contains("compile_error") || !words.contains("__handler"), "{words} must be an error");
    assert!(words.contains(expected), "{words} must say {expected:?}");
}

#[test]
fn a_handler_keeps_its_function_and_is_described_beside_it() {
    let expanded = handler::expand(quote!(GET | POST, "/hello/{name}"), function()).unwrap().to_string();
    assert!(expanded.starts_with(&function().to_string()), "{expanded}");
    for part in ["__hotbay_handler_hello", r#"name : "hello""#, r#"& ["GET" , "POST"]"#, r#""/hello/{name}""#]
    {
        assert!(expanded.contains(part), "{expanded} must have {part}");
    }
    let any = handler::expand(quote!(ANY, "/"), function()).unwrap().to_string();
    assert!(any.contains("methods : & []") && any.contains("blocking : false"), "{any}");
    let blocking = handler::expand(quote!(GET, "/", blocking,), function()).unwrap().to_string();
    assert!(blocking.contains("blocking : true"), "{blocking}");
}

#[test]
fn arguments_are_made_in_their_order_and_lifetimes_are_left_to_the_compiler() {
    let item = quote! { fn seat<'a>(Path(id): Path<u32>, state: State<'a, Seats>, name: &'static Name) -> String { todo() } };
    let expanded = handler::expand(quote!(GET, "/"), item.clone()).unwrap().to_string();
    for part in [
        "Argument :: of :: < Path < u32 > > ()",
        "Argument :: of :: < State < '_ , Seats > > ()",
        "Argument :: of :: < & 'static Name > ()",
        "Call :: Plain (| __hotbay_request |",
        // What is passed on stands alone, so that an error is at the type and not at the whole call.
        "let __hotbay_returned = seat (__hotbay_0 , __hotbay_1 , __hotbay_2) ;",
        "IntoResponse :: into_response (__hotbay_returned)",
    ] {
        assert!(expanded.contains(part), "{expanded} must have {part}");
    }
    let expanded = handler::expand(quote!(GET, "/"), quote! { async #item }).unwrap().to_string();
    assert!(expanded.contains("Call :: Future") && expanded.contains("__hotbay_2) . await"), "{expanded}");
}

#[test]
fn methods_and_paths_that_cannot_be_routed_are_refused() {
    refuses(quote!(get, "/hello"), function(), "cannot be routed; use one of GET");
    refuses(quote!(GET | GET, "/hello"), function(), "GET is named twice");
    refuses(quote!(GET | ANY, "/hello"), function(), "it stands alone");
    refuses(quote!(GET, "hello"), function(), "must begin with a slash");
    refuses(quote!(GET, "/a{b}"), function(), "a parameter must be a whole segment");
    refuses(quote!("/hello"), function(), "write a method and a path");
    refuses(quote!(GET), function(), "write a method and a path");
    refuses(quote!(GET, "/hello", 5), function(), "only `blocking` may follow");
    refuses(quote!(GET, "/hello" blocking), function(), "only `blocking` may follow");
    refuses(quote!(GET, "/hello", async), function(), "only `blocking` may follow");
    refuses(quote!(GET, "/hello", blocking, blocking), function(), "blocking is said twice");
}

#[test]
fn functions_that_cannot_be_called_are_refused() {
    let refuses = |item, expected| refuses(quote!(GET, "/"), item, expected);
    refuses(quote! { fn hello<T>(request: Request) -> Response { todo() } }, "no type parameters");
    refuses(
        quote! { extern "C" fn hello(request: Request) -> Response { todo() } },
        "is a safe Rust function",
    );
    refuses(quote! { unsafe fn hello(request: Request) -> Response { todo() } }, "is a safe Rust function");
    refuses(quote! { fn hello(&self, request: Request) -> Response { todo() } }, "no method");
    refuses(quote! { fn hello(request: impl Sized) -> Response { todo() } }, "says of which type");
    let thirteen = (0..13).map(|index| quote::format_ident!("a{index}"));
    refuses(quote! { fn hello(#(#thirteen: u8),*) -> Response { todo() } }, "takes at most 12 arguments");
    refuses(quote! { struct Hello; }, "belongs on a function");
}

#[test]
fn a_module_looks_for_its_handlers_where_they_stand() {
    let expanded = module::expand(quote!(list, users::get)).unwrap().to_string();
    for part in [
        "__hotbay_handler_list (list)",
        // The function, where nothing of the module is in scope yet, and then what stands beside it there.
        "let __hotbay_function = users :: get ;",
        "use users as __users ;",
        "use __users :: * ; __hotbay_handler_get :: __hotbay_handler_get (__hotbay_handlers , __hotbay_function)",
    ] {
        assert!(expanded.contains(part), "{expanded} must have {part}");
    }
    assert!(expanded.contains("Create :: Nothing") && expanded.contains("Stop :: Nothing"), "{expanded}");
}

#[test]
fn hooks_are_plain_or_async() {
    let expand = |input| module::expand(input).unwrap().to_string();
    let plain = expand(quote!(handlers: [get], create: make, stop: end));
    assert!(plain.contains("Create :: Plain") && plain.contains("Stop :: Plain"), "{plain}");
    let later = expand(quote!(handlers: [get], create: async make, stop: async db::end));
    assert!(later.contains("Create :: Future") && later.contains("Stop :: Future"), "{later}");
}

#[test]
fn modules_that_are_not_whole_are_refused() {
    let refuses = |input, expected: &str| {
        let words = module::expand(input).unwrap_err().to_string();
        assert!(words.contains(expected), "{words} must say {expected:?}");
    };
    refuses(quote!(), "1 to 64 handlers");
    refuses(quote!(handlers: []), "1 to 64 handlers");
    refuses(quote!(get, users::get), "two handlers are called get");
    refuses(quote!(handlers: [get], handlers: [get]), "handlers is given twice");
    refuses(quote!(handlers: [get], stop: end, stop: end), "stop is given twice");
    refuses(quote!(handlers: [get], schema: "{}"), "not schema");
}
