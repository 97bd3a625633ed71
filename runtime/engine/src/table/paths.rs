//! From a path to the methods that are served on it.
//!
//! Owns the order of DESIGN §6: at each segment a static text goes before a parameter, and that before a wildcard; where the better branch leads
//! nowhere the lesser is tried. Each node is visited at most once, so a look-up costs at most the number of templates.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use hotbay_api::{PathTemplate, Segment};
use http::Method;

use super::Target;

/// The templates of one host.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// Templates without parameters: nothing can match such a path better.
    fixed: HashMap<String, Methods, BuildHasherDefault<Fnv>>,
    tree: Node,
}

#[derive(Debug, Default)]
struct Node {
    fixed: HashMap<String, Node, BuildHasherDefault<Fnv>>,
    parameter: Option<Box<Node>>,
    wildcard: Option<Methods>,
    here: Option<Methods>,
}

/// Who answers which method on one template.
#[derive(Debug, Default)]
pub(super) struct Methods {
    named: Vec<(Method, Arc<Target>)>,
    every: Option<Arc<Target>>,
}

/// FNV-1a. Every request hashes its path, which is short, and std's hash costs several times as much. That one withstands keys that are chosen to
/// collide; here the keys are routes, which authors and operators choose, and a client only looks up.
#[derive(Debug)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Byte ranges of a path.
pub(super) type Ranges = Vec<(usize, usize)>;

impl Paths {
    pub fn insert(&mut self, path: &PathTemplate, methods: &[String], target: &Arc<Target>) {
        let fixed = path.parameters().next().is_none();
        let slot = if fixed {
            self.fixed.entry(path.as_str().to_owned()).or_default()
        } else {
            self.tree.slot(path.segments())
        };
        slot.insert(methods, target);
    }

    /// Who answers `method` on a template that is `path` itself: where there is one, no other is better.
    pub fn find_fixed(&self, path: &str, method: &Method) -> Option<&Arc<Target>> {
        self.fixed.get(path)?.get(method)
    }

    /// Offers the templates that match `path`, the best first, each with its parameters, until one is accepted.
    pub fn find<'p>(&'p self, path: &str, accept: &mut impl FnMut(&'p Methods, &mut Ranges) -> bool) -> bool {
        let mut ranges = Ranges::new();
        if self.fixed.get(path).is_some_and(|methods| accept(methods, &mut ranges)) {
            return true;
        }
        path.starts_with('/') && self.tree.find(path, 1, &mut ranges, accept)
    }
}

impl Node {
    fn slot(&mut self, segments: &[Segment]) -> &mut Methods {
        match segments.split_first() {
            None => self.here.get_or_insert_default(),
            Some((Segment::Wildcard(_), _)) => self.wildcard.get_or_insert_default(),
            Some((Segment::Parameter(_), rest)) => self.parameter.get_or_insert_default().slot(rest),
            Some((Segment::Static(text), rest)) => self.fixed.entry(text.clone()).or_default().slot(rest),
        }
    }

    /// `at` is where the next segment begins: one past a slash, or one past the end.
    fn find<'n>(
        &'n self,
        path: &str,
        at: usize,
        ranges: &mut Ranges,
        accept: &mut impl FnMut(&'n Methods, &mut Ranges) -> bool,
    ) -> bool {
        let Some(rest) = path.get(at..) else {
            return self.here.as_ref().is_some_and(|methods| accept(methods, ranges));
        };
        let length = rest.find('/').unwrap_or(rest.len());
        let next = at + length + 1;
        if self.fixed.get(&rest[..length]).is_some_and(|node| node.find(path, next, ranges, accept)) {
            return true;
        }
        if length > 0
            && let Some(node) = &self.parameter
        {
            ranges.push((at, at + length));
            if node.find(path, next, ranges, accept) {
                return true;
            }
            ranges.pop();
        }
        let Some(wildcard) = self.wildcard.as_ref().filter(|_| !rest.is_empty()) else { return false };
        ranges.push((at, path.len()));
        if accept(wildcard, ranges) {
            return true;
        }
        ranges.pop();
        false
    }
}

impl Methods {
    fn insert(&mut self, methods: &[String], target: &Arc<Target>) {
        if methods.is_empty() {
            self.every = Some(Arc::clone(target));
        }
        // Methods are checked when a route is accepted.
        let named = methods.iter().filter_map(|name| Method::from_bytes(name.as_bytes()).ok());
        self.named.extend(named.map(|method| (method, Arc::clone(target))));
    }

    /// A route that names the method goes before one for every method; HEAD follows GET.
    pub fn get(&self, method: &Method) -> Option<&Arc<Target>> {
        let named = |wanted: &Method| {
            self.named.iter().find(|(method, _)| method == wanted).map(|(_, target)| target)
        };
        let followed = || if *method == Method::HEAD { named(&Method::GET) } else { None };
        named(method).or_else(followed).or(self.every.as_ref())
    }

    /// The methods to name in `Allow`.
    pub fn allowed(&self) -> impl Iterator<Item = String> {
        let head = self.named.iter().any(|(method, _)| *method == Method::GET).then(|| "HEAD".to_owned());
        self.named.iter().map(|(method, _)| method.to_string()).chain(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The path that `find` answers for, by a tree that holds no targets: `slot` alone makes a template known.
    fn shape(templates: &[&str], path: &str) -> Option<(usize, Vec<String>)> {
        let mut paths = Paths::default();
        let mut known = Vec::new();
        for template in templates {
            let template: PathTemplate = template.parse().unwrap();
            if template.parameters().next().is_none() {
                paths.fixed.entry(template.as_str().to_owned()).or_default();
            } else {
                paths.tree.slot(template.segments());
            }
            known.push(template);
        }
        let mut found = None;
        paths.find(path, &mut |methods, ranges| {
            found = Some((methods, ranges.clone()));
            true
        });
        let (methods, ranges) = found?;
        let index = known.iter().position(|template| {
            let slot: *const Methods = match paths.fixed.get(template.as_str()) {
                Some(slot) => slot,
                None => find_slot(&paths.tree, template.segments()),
            };
            std::ptr::eq(slot, methods)
        });
        Some((index?, ranges.iter().map(|&(from, to)| path[from..to].to_owned()).collect()))
    }

    fn find_slot(node: &Node, segments: &[Segment]) -> *const Methods {
        match segments.split_first() {
            None => node.here.as_ref().unwrap(),
            Some((Segment::Wildcard(_), _)) => node.wildcard.as_ref().unwrap(),
            Some((Segment::Parameter(_), rest)) => find_slot(node.parameter.as_ref().unwrap(), rest),
            Some((Segment::Static(text), rest)) => find_slot(&node.fixed[text], rest),
        }
    }

    #[test]
    fn static_goes_before_parameter_before_wildcard() {
        let templates = ["/f/{id}", "/f/{*rest}", "/f/me", "/f/{id}/x"];
        let found = |path| shape(&templates, path).map(|(index, values)| (templates[index], values));
        assert_eq!(found("/f/me"), Some(("/f/me", vec![])));
        assert_eq!(found("/f/7"), Some(("/f/{id}", vec!["7".into()])));
        assert_eq!(found("/f/7/x"), Some(("/f/{id}/x", vec!["7".into()])));
        assert_eq!(found("/f/7/y"), Some(("/f/{*rest}", vec!["7/y".into()])));
        assert_eq!(found("/f/me/z"), Some(("/f/{*rest}", vec!["me/z".into()])));
        assert_eq!(found("/f/"), None, "a parameter and a wildcard are never empty");
        assert_eq!(found("/f"), None);
    }

    #[test]
    fn a_dead_end_is_left_for_the_lesser_branch() {
        let found = |path| shape(&["/a/b/c", "/a/{x}/d", "/{y}/b/e"], path);
        assert_eq!(found("/a/b/d"), Some((1, vec!["b".into()])));
        assert_eq!(found("/a/b/e"), Some((2, vec!["a".into()])));
        assert_eq!(found("/a/b/f"), None);
    }

    #[test]
    fn root_slashes_and_odd_paths() {
        let found = |path| shape(&["/", "/tree/", "/{*all}"], path);
        assert_eq!(found("/"), Some((0, vec![])));
        assert_eq!(found("/tree/"), Some((1, vec![])));
        assert_eq!(found("/tree"), Some((2, vec!["tree".into()])));
        assert_eq!(found("//x"), Some((2, vec!["/x".into()])));
        assert_eq!(found("*"), None);
        assert_eq!(found(""), None);
        assert_eq!(shape(&["/{x}"], "/é"), Some((0, vec!["é".into()])), "multi-byte text is no panic");
    }
}
