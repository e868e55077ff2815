//! The sign-in pages as browsers see them, those of strangers among them.

#[cfg(test)]
mod config;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod forms;
#[cfg(test)]
mod journey;
#[cfg(test)]
mod known;
#[cfg(test)]
mod proof;
#[cfg(test)]
mod remembered;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod sign_out;
#[cfg(test)]
mod strangers;
#[cfg(test)]
mod support;
