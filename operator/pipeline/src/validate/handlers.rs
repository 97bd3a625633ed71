//! The routes of one module: from its spec, or from its manifest.
//!
//! Owns the settling of what a spec may leave out, and conflicts of a module with itself.

use std::collections::BTreeMap;

use hotbay_api::{MAX_ROUTES, Reason, Route, RouteSpec};
use hotbay_artifact::Manifest;

use crate::Refusal;

/// The module's routes, each with its handler.
pub(super) fn routes(wanted: Option<&[RouteSpec]>, manifest: &Manifest) -> Result<Vec<Route>, Refusal> {
    let routes = match wanted {
        None => manifest.routes(),
        Some(wanted) => {
            wanted.iter().map(|spec| route(spec, manifest)).collect::<Result<_, _>>().map_err(invalid)?
        }
    };
    if routes.is_empty() || routes.len() > MAX_ROUTES {
        return Err(invalid(format!("the module has {} routes; give it 1 to {MAX_ROUTES}", routes.len())));
    }
    let mut claimed = BTreeMap::new();
    for route in &routes {
        for claim in route.claims() {
            if let Some(handler) = claimed.insert(claim.clone(), &route.handler) {
                let other = &route.handler;
                return Err(invalid(format!(
                    "{claim} leads to {handler} and to {other}; remove one of the routes"
                )));
            }
        }
    }
    Ok(routes)
}

fn route(spec: &RouteSpec, manifest: &Manifest) -> Result<Route, String> {
    let path = spec.path.parse().map_err(|error| format!("spec.routes: {error}"))?;
    let names =
        || manifest.handlers.iter().map(|handler| handler.name.as_str()).collect::<Vec<_>>().join(", ");
    let handler = match (&spec.handler, &manifest.handlers[..]) {
        (None, [only]) => only.name.clone(),
        (None, _) => {
            return Err(format!(
                "the route {} names no handler and the module has several; name one of {}",
                spec.path,
                names()
            ));
        }
        (Some(name), handlers) if handlers.iter().any(|handler| handler.name == *name) => name.clone(),
        (Some(name), _) => {
            return Err(format!(
                "the route {} names the handler {name:?}, which the module does not have; it has {}",
                spec.path,
                names()
            ));
        }
    };
    let route = Route { hostnames: spec.hostnames.clone(), path, methods: spec.methods.clone(), handler };
    route.check().map_err(|error| format!("the route {}: {error}", spec.path))?;
    Ok(route)
}

fn invalid(message: String) -> Refusal {
    Refusal::of_module(Reason::RouteInvalid, message)
}
