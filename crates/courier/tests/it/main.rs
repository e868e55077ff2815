//! The courier against a real SMTP server.

#[cfg(test)]
mod addresses;
#[cfg(test)]
mod composing;
#[cfg(test)]
mod delivering;
#[cfg(test)]
mod owing;
#[cfg(test)]
mod relaying;
#[cfg(test)]
mod securing;
#[cfg(test)]
mod support;
