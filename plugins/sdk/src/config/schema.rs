//! The shape of a config, as constants: what `#[derive(ModuleConfig)]` makes of a type.
//!
//! Owns the tree. It is written into the manifest while the author's crate is compiled (`write`), so it is made of references and
//! literals only. Texts that end in JSON are JSON already: the derive has escaped them.

/// One value's shape.
pub enum Schema {
    /// Whatever it is.
    Any,
    /// `null` alone.
    Null,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Integer {
        /// The least.
        min: i128,
        /// The greatest.
        max: i128,
    },
    /// Any number.
    Number,
    /// A text.
    Text {
        /// JSON Schema's name for its form; empty if it has none.
        format: &'static str,
    },
    /// A text of one character.
    Char,
    /// A text such as `10s`.
    Duration {
        /// Whether the type takes a text from whoever has one, and not only from [`Config::parse`](crate::Config::parse).
        reads_itself: bool,
    },
    /// A list of the same things.
    List {
        /// Each of them.
        items: &'static Schema,
        /// How many, if that is fixed.
        length: Option<usize>,
    },
    /// A list with a fixed shape for each place.
    Tuple(&'static [&'static Schema]),
    /// An object whose fields have any name.
    Map(&'static Schema),
    /// An object with fields of its own.
    Object {
        /// As JSON; empty if there is none.
        description: &'static str,
        /// In the order of the type.
        fields: &'static [Field],
        /// Whether another field is an error.
        closed: bool,
    },
    /// One of these texts.
    Names {
        /// As JSON; empty if there is none.
        description: &'static str,
        /// As JSON.
        names: &'static [&'static str],
    },
    /// One of these shapes.
    Forms {
        /// As JSON; empty if there is none.
        description: &'static str,
        /// At least one.
        forms: &'static [&'static Schema],
    },
    /// An object that is told apart by one of its fields.
    Tagged {
        /// The field's name, as JSON.
        tag: &'static str,
        /// Its value, as JSON.
        name: &'static str,
        /// The other fields.
        inner: &'static Schema,
    },
    /// The same, or `null`.
    Nullable(&'static Schema),
}

/// A field of an object.
pub struct Field {
    /// As JSON.
    pub name: &'static str,
    /// Its value's.
    pub schema: &'static Schema,
    /// Whether it may not be missing.
    pub required: bool,
    /// What is said of this field and not of its type.
    pub keywords: Keywords,
}

/// What is said of a field beside its type: documentation and `#[config(…)]`.
#[derive(Clone, Copy)]
pub struct Keywords {
    /// As JSON; empty: that of the type.
    pub description: &'static str,
    /// In place of the type's least.
    pub min: Option<Bound>,
    /// In place of the type's greatest.
    pub max: Option<Bound>,
    /// What it is when it is missing, as JSON; empty if that is not known.
    pub default: &'static str,
    /// Pairs of a keyword and its value, both as JSON.
    pub others: &'static [(&'static str, &'static str)],
    /// What `others` needs the value to be.
    pub applies_to: AppliesTo,
}

/// The kind of value that a field's keywords are made for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum AppliesTo {
    /// Any.
    Anything,
    /// For `pattern`, `format`, `min_length`, `max_length`.
    Texts,
    /// For `min_items`, `max_items`.
    Lists,
}

/// The least or the greatest value.
#[derive(Clone, Copy)]
pub struct Bound {
    /// As JSON.
    pub text: &'static str,
    /// The same, if it is whole.
    pub whole: Option<i128>,
}

impl Field {
    /// A field, if its type can have these keywords; otherwise a compile error, at the field.
    pub const fn new(
        name: &'static str,
        schema: &'static Schema,
        required: bool,
        keywords: Keywords,
    ) -> Self {
        super::check::keywords(schema, &keywords);
        Self { name, schema, required, keywords }
    }
}

impl Keywords {
    /// Nothing said.
    pub const NONE: Self = Self {
        description: "",
        min: None,
        max: None,
        default: "",
        others: &[],
        applies_to: AppliesTo::Anything,
    };
}

impl Schema {
    /// Whether it is always an object, as a HandlerModule's config is.
    pub(crate) const fn is_object(&self) -> bool {
        match self {
            Self::Object { .. } | Self::Map(_) | Self::Any => true,
            Self::Tagged { inner, .. } => inner.is_object(),
            Self::Forms { forms, .. } => {
                let mut index = 0;
                while index < forms.len() {
                    if !forms[index].is_object() {
                        return false;
                    }
                    index += 1;
                }
                true
            }
            _ => false,
        }
    }
}

/// A type that can stand in a module's config. Derive it, beside `serde::Deserialize`.
///
/// The type becomes a JSON Schema (draft 2020-12) while the crate is compiled, and `module! { config: Limits, … }` puts it into the
/// manifest: the operator and `hotbay check` refuse a config that does not fit, before any instance is made. Schema and parser agree,
/// because both read the same attributes: those of serde, and doc comments become descriptions.
///
/// ```
/// use hotbay_sdk::{Config, ConfigError, ModuleConfig};
/// use serde::Deserialize;
///
/// /// How much one client may do.
/// #[derive(Deserialize, ModuleConfig)]
/// #[serde(default, deny_unknown_fields)]
/// struct Limits {
///     /// Requests in a second.
///     #[config(min = 1, max = 10_000, default = 10)]
///     rate: u32,
///     /// Requests at once.
///     #[config(min = 1, default = 20)]
///     burst: u32,
///     /// Who may ask; everybody, if it is absent.
///     #[config(secret, min_length = 16)]
///     token: Option<String>,
/// }
///
/// let limits: Limits = Config::new("prod/shop", r#"{"rate": 5}"#).parse()?;
/// assert_eq!((limits.rate, limits.burst), (5, 20));
/// # Ok::<(), ConfigError>(())
/// ```
///
/// `#[config(…)]` on a field says what Rust's types cannot: `min`, `max` for numbers; `min_length`, `max_length`, `pattern`, `format`
/// for texts; `min_items`, `max_items` for lists; `example`; `secret`, for what no message may show; `as = String`, for a field whose
/// own type does not derive this. `default` needs `#[serde(default)]` on the struct, for which the derive then writes `Default`, so that
/// the schema shows what the parser does. A [`Duration`](std::time::Duration) is written as `10s`. They are checked by whoever checks the schema: [`Config::parse`](crate::Config::parse) checks
/// the type.
#[cfg(feature = "json")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot stand in a module's config",
    note = "derive `serde::Deserialize` and `hotbay_sdk::ModuleConfig` for it",
    note = "or say which type its JSON looks like: `#[config(as = String)]` on the field"
)]
pub trait ModuleConfig: serde::de::DeserializeOwned {
    /// Its shape.
    const SCHEMA: &'static Schema;
    /// Whether a field of this type may be missing without more being said.
    #[doc(hidden)]
    const OPTIONAL: bool = false;
    /// What `Default` makes of it, as JSON; empty if that is not known.
    #[doc(hidden)]
    const DEFAULT: &'static str = "";
}
