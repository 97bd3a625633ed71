//! [`app`] as a module.

mod app;

use app::app;

hotbay_sdk::service!(app);
