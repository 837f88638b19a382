//! Errors of the JSON parser, which gets one line at a time.

use anyhow::anyhow;

/// Why a line is not JSON, with the column.
pub fn explain_syntax(error: &serde_json::Error) -> anyhow::Error {
    let message = without_position(error).replace("EOF while", "end of line while");
    anyhow!("json: {message} at column {}", error.column())
}

/// The message without the number of the line, which is always 1, and the column.
pub fn without_position(error: &serde_json::Error) -> String {
    let mut message = error.to_string();
    message.truncate(message.rfind(" at line ").unwrap_or(message.len()));
    message
}
