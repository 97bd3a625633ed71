//! What authors are told when a schema could not say what they wrote. What it says is tested where it is used, in the SDK.

use proc_macro2::TokenStream;
use quote::quote;

use super::expand;

fn refuses(item: TokenStream, expected: &str) {
    let words = expand(item.clone()).map(|tokens| tokens.to_string()).unwrap_err().to_string();
    assert!(words.contains(expected), "{item}: {words} must say {expected:?}");
}

fn refuses_field(attributes: TokenStream, expected: &str) {
    refuses(quote! { #[serde(default)] struct Limits { #attributes burst: u32 } }, expected);
}

#[test]
fn what_changes_the_parser_and_no_schema_can_say_is_refused() {
    refuses_field(quote!(#[serde(flatten)]), "cannot say #[serde(flatten)]");
    refuses_field(quote!(#[serde(alias = "b")]), "cannot say #[serde(alias)]");
    refuses_field(quote!(#[serde(from_the_future)]), "does not know #[serde(from_the_future)]");
    refuses_field(quote!(#[serde(with = "hex")]), "#[config(as = String)]");
    refuses(quote! { enum Mode { #[serde(other)] A } }, "cannot say #[serde(other)]");
    refuses(quote! { enum Mode { #[serde(untagged)] A(u8) } }, "of one variant");
    refuses(quote! { #[serde(rename_all = "Title Case")] struct Limits {} }, "no case that serde knows");
}

#[test]
fn what_config_does_not_know_is_refused() {
    refuses_field(quote!(#[config(minimum = 1)]), "#[config] knows min, max");
    refuses_field(quote!(#[config(min = "1")]), "write a number");
    refuses_field(quote!(#[config(example = f())]), "write a literal");
    refuses_field(quote!(#[config(min_length = 1, min_items = 1)]), "a text or a list");
    refuses(quote! { #[config(secret)] struct Limits {} }, "belongs on a field with a name");
    refuses(quote! { enum Mode { #[config(secret)] A } }, "belongs on a field with a name");
    refuses(quote! { struct Rate(#[config(min = 1)] u32); }, "give the field a name");
    refuses(quote! { enum Mode { A(#[config(min = 1)] u32) } }, "give the field a name");
}

#[test]
fn what_contradicts_itself_is_refused() {
    refuses_field(quote!(#[config(min = 1, max = 3, min = 2)]), "min is said twice");
    refuses_field(quote!(#[config(min_length = 1)] #[config(min_length = 2)]), "min_length is said twice");
    refuses_field(quote!(#[config(min = 1.5, max = 1)]), "min)] is greater than max");
    refuses_field(quote!(#[config(min_length = 2, max_length = 1)]), "greater than its maxLength");
    refuses_field(quote!(#[config(min_items = 2, max_items = 1)]), "greater than its maxItems");
    let forbidden = "forbid this default";
    refuses_field(quote!(#[config(min = 1, default = 0)]), forbidden);
    refuses_field(quote!(#[config(max = 0.5, default = 0.75)]), forbidden);
    refuses_field(quote!(#[config(min_length = 2, default = "é")]), forbidden);
    refuses_field(quote!(#[config(max_length = 1, default = "ab")]), forbidden);
    for fits in [
        quote!(#[config(min = 1, max = 1, default = 1, example = 1, example = 2)]),
        quote!(#[config(min = -0.5, default = 0)]),
        quote!(#[config(min_length = 1, max_length = 1, default = "é")]),
        quote!(#[config(min_items = 1, max_items = 2)]),
        quote!(#[config(default = "10s")]),
    ] {
        let item = quote! { #[serde(default)] struct Limits { #fits burst: u32 } };
        assert!(expand(item.clone()).is_ok(), "{item}");
    }
}

#[test]
fn a_default_that_the_parser_would_not_know_is_refused() {
    refuses_field(quote!(#[serde(default)] #[config(default = 1)]), "write #[serde(default)] on the struct");
    refuses(
        quote! { struct Limits { #[config(default = 1)] burst: u32 } },
        "write #[serde(default)] on the struct",
    );
    refuses(
        quote! { #[serde(default = "limits")] struct Limits { #[config(default = 1)] burst: u32 } },
        "write #[serde(default)] on the struct",
    );
    refuses(quote! { enum Mode { A { #[config(default = 1)] burst: u32 } } }, "a struct of its own");
}

#[test]
fn types_that_have_no_schema_are_refused() {
    refuses(quote! { struct Limits<T> { burst: T } }, "has no parameters");
    refuses(quote! { union Limits { burst: u32 } }, "a struct or an enum");
    refuses(quote! { struct Tree { children: Vec<Tree> } }, "Tree holds itself");
    refuses(quote! { enum Tree { Node(Box<Self>) } }, "Tree holds itself");
    refuses(quote! { enum Mode { #[serde(skip)] A } }, "a variant that can be read");
    refuses(quote! { enum Mode { A() } }, "leave out the parentheses");
    refuses(quote! { #[serde(transparent)] struct Limits { a: u8, b: u8 } }, "one field only");
    assert!(expand(quote! { struct Tree { #[config(as = serde_json::Value)] children: Vec<Tree> } }).is_ok());
}
