//! Which of several forms a value was meant to have (`anyOf`, `oneOf`): only what is wrong with that one helps.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;
use serde_json::Value;

use super::path;

/// Why a value has none of the forms.
pub(super) enum Meant<'e> {
    /// It is nearly this one.
    One(&'e [ValidationError<'static>]),
    /// The field that tells the forms apart has none of their names.
    NoneOf { field: Vec<String>, names: Vec<Value> },
    /// That field is missing.
    Missing(Vec<String>),
    /// It cannot be told.
    Unknown,
}

type Form = Vec<ValidationError<'static>>;

/// `at` is where the value stands.
pub(super) fn meant<'e>(forms: &'e [Form], at: &[String]) -> Meant<'e> {
    let near: Vec<&Form> = forms.iter().filter(|form| !is_another(form, at)).collect();
    if let [one] = near[..] {
        return Meant::One(one);
    }
    // A value of another type altogether, as `null` beside objects, says nothing of the others.
    let of_its_type: Vec<&Form> =
        forms.iter().filter(|form| !form.iter().any(|error| is_type(error, at))).collect();
    if let Some((field, names)) = tags(&of_its_type) {
        return Meant::NoneOf { field, names };
    }
    let mut missing = of_its_type.iter().map(|form| form.iter().find_map(|error| required(error, at)));
    match missing.next() {
        Some(Some(first)) if missing.all(|other| other == Some(first)) => {
            Meant::Missing([at, &[first.to_owned()]].concat())
        }
        _ => Meant::Unknown,
    }
}

/// Whether it is plain that another form was meant: another type, another name, or all other fields.
fn is_another(form: &Form, at: &[String]) -> bool {
    let unexpected = |error: &ValidationError<'_>| {
        matches!(error.kind(), Kind::AdditionalProperties { .. }) && stands_at(error, at)
    };
    let lacks = form.iter().any(|error| required(error, at).is_some());
    form.iter()
        .any(|error| is_type(error, at) || tag(error).is_some_and(|(field, _)| field.len() <= at.len() + 1))
        || (lacks && form.iter().any(unexpected))
}

fn is_type(error: &ValidationError<'_>, at: &[String]) -> bool {
    let wrong_type = match error.kind() {
        Kind::Type { .. } => true,
        Kind::Enum { options } => {
            let same = |option: &Value| {
                std::mem::discriminant(option) == std::mem::discriminant(error.instance().as_ref())
            };
            !options.as_array().is_some_and(|options| options.iter().any(same))
        }
        _ => false,
    };
    wrong_type && stands_at(error, at)
}

/// The only value that a field may have, where it has another one.
fn tag(error: &ValidationError<'_>) -> Option<(Vec<String>, Value)> {
    let name = match error.kind() {
        Kind::Constant { expected_value } => expected_value.as_ref().clone(),
        Kind::Enum { options } => match &options.as_array()?[..] {
            [only] => only.clone(),
            _ => return None,
        },
        _ => return None,
    };
    Some((path::steps(error.instance_path().as_str()), name))
}

/// The field by which every form would be known, and its names.
fn tags(forms: &[&Form]) -> Option<(Vec<String>, Vec<Value>)> {
    let tags: Vec<_> = forms.iter().map(|form| form.iter().find_map(tag)).collect::<Option<_>>()?;
    let field = tags.first()?.0.clone();
    tags.iter()
        .all(|(other, _)| *other == field)
        .then(|| (field, tags.into_iter().map(|(_, name)| name).collect()))
}

fn required<'e>(error: &'e ValidationError<'_>, at: &[String]) -> Option<&'e str> {
    match error.kind() {
        Kind::Required { property } if stands_at(error, at) => property.as_str(),
        _ => None,
    }
}

fn stands_at(error: &ValidationError<'_>, at: &[String]) -> bool {
    path::steps(error.instance_path().as_str()) == at
}
