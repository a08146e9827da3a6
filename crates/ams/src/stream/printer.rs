//! Several writers on one page: whose words these are, without breaking words apart where it can be helped.

use owo_colors::{AnsiColors, Style};

use crate::output::{Output, harmless};

/// Colours of writers; red and green are kept for what they mean elsewhere.
const COLORS: [AnsiColors; 5] =
    [AnsiColors::Cyan, AnsiColors::Yellow, AnsiColors::Magenta, AnsiColors::Blue, AnsiColors::BrightGreen];

/// Turns tokens into lines that begin with their writer's name. A writer's tokens follow one another on one line; when
/// another one comes in between, the line is broken and a new one begins with the other's name.
#[derive(Debug)]
pub(crate) struct Printer {
    output: Output,
    /// Whose line is not finished.
    unfinished: Option<String>,
}

impl Printer {
    pub(crate) fn new(output: Output) -> Self {
        Printer { output, unfinished: None }
    }

    /// What to print for a token.
    pub(crate) fn token(&mut self, stream_id: &str, name: &str, data: &str) -> String {
        let clean = self.output.terminal.then(|| harmless(data));
        let data = clean.as_deref().unwrap_or(data);
        if data.is_empty() {
            return String::new();
        }
        let goes_on = self.unfinished.as_deref() == Some(stream_id);
        let mut text = if goes_on { String::new() } else { self.finish() };
        let prefix = self.prefix(stream_id, name);
        for (at, line) in data.split_inclusive('\n').enumerate() {
            if !(goes_on && at == 0) {
                text.push_str(&prefix);
            }
            text.push_str(line);
        }
        self.unfinished = (!data.ends_with('\n')).then(|| stream_id.to_owned());
        text
    }

    /// What to print when a writer is gone: the end of its line.
    pub(crate) fn left(&mut self, stream_id: &str) -> String {
        if self.unfinished.as_deref() == Some(stream_id) { self.finish() } else { String::new() }
    }

    /// Ends the line that is not finished, if there is one.
    pub(crate) fn finish(&mut self) -> String {
        self.unfinished.take().map_or_else(String::new, |_| "\n".to_owned())
    }

    fn prefix(&self, stream_id: &str, name: &str) -> String {
        let color =
            stream_id.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % COLORS.len();
        let name = format!("{}:", harmless(name).replace(['\n', '\t'], " "));
        format!("{} ", self.output.paint(&name, Style::new().color(COLORS[color])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Options, When};

    fn printer() -> Printer {
        Printer::new(Output::new(&Options { json: false, quiet: true, color: When::Never }))
    }

    #[test]
    fn tokens_of_one_writer_flow_on_one_line() {
        let mut printer = printer();
        let text = ["Hel", "lo", " you\nand", " you\n"].map(|data| printer.token("1", "ann", data)).concat();
        assert_eq!(text, "ann: Hello you\nann: and you\n");
    }

    #[test]
    fn another_writer_begins_a_line_of_its_own() {
        let mut printer = printer();
        let said = [("1", "ann", "I was"), ("2", "bob", "hi\n"), ("1", "ann", " saying"), ("2", "bob", "so")];
        let text = said.map(|(id, name, data)| printer.token(id, name, data)).concat();
        assert_eq!(text, "ann: I was\nbob: hi\nann:  saying\nbob: so");
        assert_eq!(printer.left("1"), "");
        assert_eq!(printer.left("2"), "\n");
        assert_eq!(printer.left("2"), "");
    }

    #[test]
    fn an_empty_token_prints_nothing() {
        let mut printer = printer();
        assert_eq!(printer.token("1", "ann", ""), "");
        assert_eq!(printer.token("1", "a\nb: forged", "x"), "a b: forged: x");
    }
}
