//! How maps, programs and links reach the command: numbered, put into its environment, placed, and executed.

pub mod activation;
pub mod launch;
pub mod lock;
pub mod number;
pub mod place;
