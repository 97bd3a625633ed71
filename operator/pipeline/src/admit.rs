//! Whether a pool takes a module at all.
//!
//! Owns the refusals that need no artifact: so that nothing is fetched for a module that may not run. A refusal changes nothing that serves.
//! What the pool's owner or another module can end is waited for: the next event decides anew. Only a suspension needs the user's own edit.

use std::collections::BTreeMap;

use hotbay_api::{
    EntryKey, HandlerModuleSpec, LabelOperator, LabelRequirement, NamespaceSelector, NamespacesFrom,
    PoolLimits, PoolRef, Precedence, Reason, RuntimePoolSpec,
};

use crate::{Class, Refusal};

/// The labels of a namespace.
pub type Labels = BTreeMap<String, String>;

/// A module that asks for a place in a pool.
#[derive(Clone, Debug)]
pub struct Applicant<'a> {
    /// Its age and key.
    pub precedence: Precedence,
    /// What it asks for.
    pub spec: &'a HandlerModuleSpec,
    /// Of its namespace; `None` if that is not known (yet).
    pub labels: Option<&'a Labels>,
}

/// Decides for all modules that name `pool`; who is not in the answer is admitted.
pub fn admit(
    pool: &PoolRef,
    rules: Option<&RuntimePoolSpec>,
    applicants: &[Applicant],
) -> BTreeMap<EntryKey, Refusal> {
    let mut by_age: Vec<&Applicant> = applicants.iter().collect();
    by_age.sort_by(|a, b| a.precedence.cmp(&b.precedence));
    let mut places = Places::default();
    let decide = |applicant: &Applicant| {
        let refusal = match rules {
            None => Some(no_pool(pool)),
            Some(rules) => place(pool, rules, applicant, &mut places).or_else(|| suspended(applicant.spec)),
        };
        refusal.map(|refusal| (applicant.precedence.key.clone(), refusal))
    };
    by_age.into_iter().filter_map(decide).collect()
}

/// How many places are taken.
#[derive(Default)]
struct Places {
    all: u32,
    by_namespace: BTreeMap<String, u32>,
}

fn place(
    pool: &PoolRef,
    rules: &RuntimePoolSpec,
    applicant: &Applicant,
    places: &mut Places,
) -> Option<Refusal> {
    let namespace = &applicant.precedence.key.namespace;
    if !allows(pool, rules, namespace, applicant.labels) {
        let message = format!(
            "pool {pool} takes no modules from namespace {namespace} (spec.allowedModules); name another pool, or ask its owner"
        );
        return Some(Refusal::of_pool(Reason::NotAllowed, Class::Waiting, message));
    }
    let PoolLimits { modules, modules_per_namespace, .. } = rules.limits;
    let of_namespace = places.by_namespace.entry(namespace.clone()).or_default();
    let full = if places.all >= modules {
        Some(format!("{modules} modules (spec.limits.modules)"))
    } else {
        modules_per_namespace
            .filter(|most| *of_namespace >= *most)
            .map(|most| format!("{most} modules of namespace {namespace} (spec.limits.modulesPerNamespace)"))
    };
    if let Some(full) = full {
        let message =
            format!("pool {pool} already holds {full}; delete an older module, or ask the pool's owner");
        return Some(Refusal::of_pool(Reason::PoolFull, Class::Waiting, message));
    }
    places.all += 1;
    *of_namespace += 1;
    None
}

fn no_pool(pool: &PoolRef) -> Refusal {
    let message = format!(
        "there is no RuntimePool {pool}; install it, or correct spec.runtimeRef (kubectl get runtimepools -A)"
    );
    Refusal::of_pool(Reason::RuntimeNotFound, Class::Waiting, message)
}

fn suspended(spec: &HandlerModuleSpec) -> Option<Refusal> {
    let message = "the module is suspended; set spec.suspend to false to go on";
    spec.suspend.then(|| Refusal::of_pool(Reason::Suspended, Class::Stalled, message))
}

fn allows(pool: &PoolRef, rules: &RuntimePoolSpec, namespace: &str, labels: Option<&Labels>) -> bool {
    let allowed = &rules.allowed_modules.namespaces;
    match (allowed.from, &allowed.selector) {
        (NamespacesFrom::All, _) => true,
        (NamespacesFrom::Same, _) => namespace == pool.namespace,
        (NamespacesFrom::Selector, Some(selector)) => labels.is_some_and(|labels| selects(selector, labels)),
        (NamespacesFrom::Selector, None) => false,
    }
}

fn selects(selector: &NamespaceSelector, labels: &Labels) -> bool {
    let exact = selector.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value));
    exact && selector.match_expressions.iter().all(|requirement| holds(requirement, labels))
}

fn holds(requirement: &LabelRequirement, labels: &Labels) -> bool {
    let value = labels.get(&requirement.key);
    let listed = value.is_some_and(|value| requirement.values.contains(value));
    match requirement.operator {
        LabelOperator::In => listed,
        LabelOperator::NotIn => !listed,
        LabelOperator::Exists => value.is_some(),
        LabelOperator::DoesNotExist => value.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use hotbay_api::{AllowedModules, AllowedNamespaces};

    use super::*;
    use crate::testing::precedence;

    struct Case {
        rules: Option<RuntimePoolSpec>,
        spec: HandlerModuleSpec,
        labels: Labels,
        older: Vec<(&'static str, &'static str)>,
    }

    impl Case {
        fn valid() -> Self {
            let mut rules = RuntimePoolSpec::default();
            rules.allowed_modules.namespaces.from = NamespacesFrom::All;
            Self {
                rules: Some(rules),
                spec: HandlerModuleSpec::default(),
                labels: Labels::new(),
                older: vec![],
            }
        }

        fn decide(&self) -> Option<Refusal> {
            let applicant = |namespace: &str, name: &str, created| Applicant {
                precedence: precedence(namespace, name, created),
                spec: &self.spec,
                labels: Some(&self.labels),
            };
            let older =
                self.older.iter().map(|(namespace, name)| applicant(namespace, name, "2026-01-01T00:00:00Z"));
            let subject = applicant("shop", "hello", "2026-01-02T00:00:00Z");
            let all: Vec<Applicant> = [subject].into_iter().chain(older).collect();
            let mut refused = admit(&"hotbay/default".parse().unwrap(), self.rules.as_ref(), &all);
            refused.remove(&EntryKey::new("shop", "hello").unwrap())
        }
    }

    fn refuses(break_it: impl Fn(&mut Case), reason: Reason) {
        let mut case = Case::valid();
        break_it(&mut case);
        assert_eq!(case.decide().map(|refusal| refusal.reason), Some(reason));
    }

    fn accepts(change: impl Fn(&mut Case)) {
        let mut case = Case::valid();
        change(&mut case);
        assert_eq!(case.decide(), None);
    }

    fn select(case: &mut Case, operator: LabelOperator) {
        let requirement = LabelRequirement { key: "team".into(), operator, values: vec!["a".into()] };
        let selector =
            NamespaceSelector { match_expressions: vec![requirement], ..NamespaceSelector::default() };
        let namespaces = AllowedNamespaces { from: NamespacesFrom::Selector, selector: Some(selector) };
        case.rules.as_mut().unwrap().allowed_modules = AllowedModules { namespaces };
    }

    #[test]
    fn a_whole_case_is_admitted() {
        accepts(|_| ());
    }

    #[test]
    fn a_pool_that_does_not_exist_is_named() {
        refuses(|case| case.rules = None, Reason::RuntimeNotFound);
    }

    #[test]
    fn a_pool_takes_its_own_namespace_by_default() {
        refuses(|case| case.rules = Some(RuntimePoolSpec::default()), Reason::NotAllowed);
    }

    #[test]
    fn a_selector_takes_what_it_selects_and_nothing_else() {
        let labelled = |case: &mut Case, operator| {
            select(case, operator);
            case.labels.insert("team".into(), "a".into());
        };
        refuses(|case| select(case, LabelOperator::In), Reason::NotAllowed);
        refuses(|case| select(case, LabelOperator::Exists), Reason::NotAllowed);
        refuses(|case| labelled(case, LabelOperator::NotIn), Reason::NotAllowed);
        refuses(|case| labelled(case, LabelOperator::DoesNotExist), Reason::NotAllowed);
        accepts(|case| labelled(case, LabelOperator::In));
        accepts(|case| labelled(case, LabelOperator::Exists));
        accepts(|case| select(case, LabelOperator::NotIn));
        accepts(|case| select(case, LabelOperator::DoesNotExist));
    }

    #[test]
    fn a_full_pool_keeps_its_oldest() {
        let limit = |case: &mut Case, modules| case.rules.as_mut().unwrap().limits.modules = modules;
        refuses(
            |case| {
                limit(case, 1);
                case.older.push(("other", "a"));
            },
            Reason::PoolFull,
        );
        accepts(|case| {
            limit(case, 2);
            case.older.push(("other", "a"));
        });
    }

    #[test]
    fn one_namespace_cannot_fill_a_pool_that_limits_it() {
        let limit = |case: &mut Case| case.rules.as_mut().unwrap().limits.modules_per_namespace = Some(1);
        refuses(
            |case| {
                limit(case);
                case.older.push(("shop", "a"));
            },
            Reason::PoolFull,
        );
        accepts(|case| {
            limit(case);
            case.older.push(("other", "a"));
        });
    }

    #[test]
    fn what_others_can_end_is_waited_for() {
        let class = |break_it: fn(&mut Case)| {
            let mut case = Case::valid();
            break_it(&mut case);
            case.decide().unwrap().class
        };
        let limit = |case: &mut Case| case.rules.as_mut().unwrap().limits.modules = 0;
        assert_eq!(class(limit), Class::Waiting);
        assert_eq!(class(|case| case.rules = None), Class::Waiting);
        assert_eq!(class(|case| case.rules = Some(RuntimePoolSpec::default())), Class::Waiting);
        assert_eq!(class(|case| case.spec.suspend = true), Class::Stalled);
    }

    #[test]
    fn a_suspended_module_is_held() {
        refuses(|case| case.spec.suspend = true, Reason::Suspended);
    }
}
