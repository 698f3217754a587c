//! Markdown tables that are also easy to read as plain text.

/// A table with the chosen columns of `rows`, whose first row has the headings. The first column is left-aligned, the
/// others are right-aligned.
pub(crate) fn table<const N: usize>(rows: &[[String; N]], columns: &[usize]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for &column in columns {
            let width = width(column);
            text += &match column {
                0 => format!("| {:width$} ", row[column]),
                _ => format!("| {:>width$} ", row[column]),
            };
        }
        text += "|\n";
        if number == 0 {
            for &column in columns {
                let dashes = "-".repeat(width(column));
                text += &match column {
                    0 => format!("|:{dashes}-"),
                    _ => format!("|-{dashes}:"),
                };
            }
            text += "|\n";
        }
    }
    text
}
