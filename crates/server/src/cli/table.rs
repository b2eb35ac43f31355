//! Tables for people: columns aligned, wide ones last.

/// Prints `rows` under `heads`, padded with spaces so that columns stand under each other.
#[must_use]
pub fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = heads
        .iter()
        .enumerate()
        .map(|(column, head)| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| width(cell)).max().unwrap_or(0).max(width(head))
        })
        .collect();
    let heads: Vec<String> = heads.iter().map(|head| head.to_uppercase()).collect();
    std::iter::once(&heads).chain(rows).map(|row| line(row, &widths)).collect()
}

/// Prints pairs of a label and a text, the texts aligned and wrapped at `columns`.
#[must_use]
pub fn facts(pairs: &[(&str, String)], columns: usize) -> String {
    let label_width = pairs.iter().map(|(label, _)| width(label)).max().unwrap_or(0);
    let indent = label_width + 4;
    pairs
        .iter()
        .map(|(label, text)| {
            let lines = wrap(text, columns.saturating_sub(indent).max(20));
            let pad = " ".repeat(label_width - width(label));
            let rest = format!("\n{}", " ".repeat(indent));
            format!("  {label}{pad}  {}\n", lines.join(&rest))
        })
        .collect()
}

/// Breaks `text` at spaces into lines of at most `columns`; longer words stand alone.
#[must_use]
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn line(row: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width_max) in row.iter().zip(widths) {
        line.push_str(cell);
        line.push_str(&" ".repeat(width_max - width(cell) + 2));
    }
    format!("{}\n", line.trim_end())
}

/// Columns on a terminal: East Asian wide characters take two.
fn width(text: &str) -> usize {
    let wide = |c: char| matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{20000}'..='\u{3fffd}');
    text.chars().map(|c| if wide(c) { 2 } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let rows = [
            vec!["a".to_owned(), "long enough".to_owned(), "x".to_owned()],
            vec!["水表".to_owned(), String::new(), "y".to_owned()],
        ];
        assert_eq!(
            table(&["id", "name", "z"], &rows),
            "ID    NAME         Z\na     long enough  x\n水表               y\n"
        );
    }

    #[test]
    fn facts_wrap_under_their_text() {
        let pairs = [("Why", "one two three four five six".to_owned()), ("Grade", "ok".into())];
        assert_eq!(facts(&pairs, 29), "  Why    one two three four\n         five six\n  Grade  ok\n");
    }
}
