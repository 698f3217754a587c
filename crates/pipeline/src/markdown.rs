//! Markdown tables that are also easy to read as plain text.

use devkit::markdown;
use devkit::text::Markdown;

/// A table with the chosen columns of `rows`, whose first row has the headings. The first column is left-aligned, the
/// others are right-aligned. No text ends its cell.
pub(crate) fn table<const N: usize>(rows: &[[Markdown; N]], columns: &[usize]) -> Markdown {
    let rows: Vec<[Markdown; N]> = rows
        .iter()
        .map(|row| row.each_ref().map(Markdown::cell))
        .collect();
    let length = |cell: &Markdown| cell.as_str().chars().count();
    let width = |column: usize| {
        rows.iter()
            .map(|row| length(&row[column]))
            .max()
            .unwrap_or(0)
    };
    let spaces = |count| (0..count).map(|_| markdown!(" ")).collect::<Markdown>();
    let dashes = |count| (0..count).map(|_| markdown!("-")).collect::<Markdown>();
    let mut text = Markdown::default();
    for (number, row) in rows.iter().enumerate() {
        for &column in columns {
            let cell = &row[column];
            let pad = spaces(width(column) - length(cell));
            text.push(&match column {
                0 => markdown!("| {}{} ", cell, pad),
                _ => markdown!("| {}{} ", pad, cell),
            });
        }
        text.push(&markdown!("|\n"));
        if number == 0 {
            for &column in columns {
                let dashes = dashes(width(column));
                text.push(&match column {
                    0 => markdown!("|:{}-", dashes),
                    _ => markdown!("|-{}:", dashes),
                });
            }
            text.push(&markdown!("|\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use devkit::text::code;

    #[test]
    fn the_name_of_a_file_ends_no_cell() {
        let name = code("src/a|<img src=x>|@ann.rs");
        let rows = [
            ["File", "Lines"].map(|head| markdown!("{}", head)),
            [name, markdown!("1")],
        ];
        let expected = "| File                          | Lines |\n\
                        |:------------------------------|------:|\n\
                        | `src/a\\|<img src=x>\\|@ann.rs` |     1 |\n";
        assert_eq!(table(&rows, &[0, 1]).as_str(), expected);
    }
}
