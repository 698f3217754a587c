use super::*;
use crate::{markdown, plain};

/// What a person sees: the text without the invisible breaks.
fn seen(text: &str) -> String {
    text.replace('\u{200b}', "")
}

#[test]
fn text_of_others_mentions_and_closes_nothing() {
    for text in [
        "@ann",
        "by (@acme/team)",
        "fixes #12",
        "see #7, GH-8 and acme/shop#9",
        "Closes: acme/shop#9",
        "merge !12",
        "RESOLVES https://forge.example.org/acme/shop/issues/12",
        "done [skip ci]",
        "[Actions Skip] x",
        "##[add-mask]x",
    ] {
        let inert = line(text);
        assert_ne!(inert, text);
        assert_eq!(seen(&inert), text);
        assert_eq!(line(&inert), inert, "it is stable");
        assert_eq!(plain!("{}", text).as_str(), inert);
    }
}

#[test]
fn text_without_effect_stays_as_it_is() {
    for text in [
        "Ada <ada@example.org>",
        "https://example.org/@ann/a_b?x=1#12",
        "Fix the 12 tests",
        "C# 12, 50 % off!",
        "prefixes #x",
        "a [link] to https://example.org.",
        "漢字 – é 🎉",
    ] {
        assert_eq!(line(text), text);
    }
}

#[test]
fn text_of_others_is_one_line_in_reading_order() {
    assert_eq!(line("a\r\nb\u{85}c\u{2028}::d\u{1b}[0m"), "a b c ::d [0m");
    assert_eq!(line("if \u{202e}cba\u{2066} \u{200f}x\u{feff}"), "if cba x");
}

#[test]
fn text_of_others_has_a_limit_and_no_broken_link() {
    let long = line(&"é".repeat(70_000));
    assert_eq!(long.chars().count(), LONGEST + 1);
    assert!(long.ends_with("é…"));
    let fits = format!("{} https://example.org/a", "x".repeat(LONGEST - 22));
    assert_eq!(line(&fits), fits);
    let cut = line(&format!("xx{fits}"));
    assert!(cut.ends_with("x…") && !cut.contains("http"), "{cut}");
    assert!(markdown!("{}", "*".repeat(70_000)).as_str().len() < 3 * LONGEST);
}

#[test]
fn values_have_no_markup() {
    for (text, escaped) in [
        ("a *b* _c_ `d` ~e~", r"a \*b\* \_c\_ \`d\` \~e\~"),
        ("<img src=x> &lt; <!-- x", r"\<img src=x\> \&lt; \<!-- x"),
        ("[a](b) ![c](d) | $e$ \\", r"\[a\](b) !\[c\](d) \| \$e\$ \\"),
        ("# a", r"\# a"),
        ("- a - b", r"\- a - b"),
        ("1. a 2. b", r"1\. a 2. b"),
        ("2.50 %", "2.50 %"),
        ("-1.1", "-1.1"),
        ("---", r"\---"),
        ("+", r"\+"),
        ("> a", r"\> a"),
        (
            "see https://example.org/a_b*c, (https://example.org/d) now",
            "see <https://example.org/a_b*c>, (<https://example.org/d>) now",
        ),
    ] {
        assert_eq!(markdown!("{}", text).as_str(), escaped);
    }
    let nested = markdown!("- {}\n", markdown!("**{}**", "a*b"));
    assert_eq!(nested.as_str(), "- **a\\*b**\n");
    assert_eq!(plain!("Hold {} {}", "dev", 7).as_str(), "Hold dev 7");
}

#[test]
fn code_shows_every_text() {
    assert_eq!(code("develop-1").as_str(), "`develop-1`");
    assert_eq!(code("a`b``c").as_str(), "```a`b``c```");
    assert_eq!(code("`a").as_str(), "`` `a ``");
    assert_eq!(code("a\n\nb").as_str(), "`a  b`");
    assert_eq!(code("").as_str(), "`  `");
    assert!(code("x".repeat(70_000)).as_str().len() < 2 * LONGEST);
}

#[test]
fn a_cell_of_a_table_ends_where_its_text_ends() {
    for (cell, escaped) in [
        (code("a|b"), r"`a\|b`"),
        (code(r"a\|b"), r"`a\|b`"),
        (code(r"a\\|b"), r"`a\\\|b`"),
        (code("||"), r"`\|\|`"),
        (markdown!("{}", "a|b"), r"a\|b"),
        (markdown!("{}", r"a\|b"), r"a\\\|b"),
        (markdown!("a|b\n| c"), r"a\|b \| c"),
    ] {
        assert_eq!(cell.cell().as_str(), escaped);
    }
}

#[test]
fn a_code_block_shows_every_text() {
    assert_eq!(code_block("sh", "ls\n").as_str(), "```sh\nls\n```\n");
    assert_eq!(code_block("text", "```").as_str(), "````text\n```\n````\n");
}

#[test]
fn a_reviewed_file_keeps_its_markup_and_links() {
    let text = "### Added\n- **b** `@x <y>` [c](https://example.org/@ann) <https://example.org>, #12\n\n```sh\n@a <b>\n```\n";
    assert_eq!(Markdown::reviewed(text, 1000).as_str(), text);
}

#[test]
fn a_reviewed_file_mentions_nobody_and_has_no_html() {
    let text = "- thanks, @ann: fixes #12 <!-- <b>x</b> `un\n\n@bob`\n";
    let inert = Markdown::reviewed(text, 1000);
    let inert = inert.as_str();
    let shown = "- thanks, @ann: fixes #12 &lt;!-- &lt;b>x&lt;/b> `un\n\n@bob`\n";
    assert_eq!(seen(inert), shown);
    for effect in ["@ann", "@bob", "fixes"] {
        assert!(!inert.contains(effect), "{effect}");
    }
}

#[test]
fn a_reviewed_file_does_not_hide_what_follows() {
    for (text, end) in [
        ("```sh\nls", "ls\n```\n"),
        ("~~~~\n```\n~~~\n", "~~~\n~~~~\n"),
        ("````\n```\n````\n", "```\n````\n"),
        ("```\nx\n``` y\n", "``` y\n```\n"),
    ] {
        let shown = Markdown::reviewed(text, 1000);
        assert!(shown.as_str().ends_with(end), "{shown:?}");
    }
    let long = Markdown::reviewed(&"- a change\n".repeat(10_000), 1000);
    assert!(long.as_str().len() < 1100);
    assert!(long.as_str().ends_with("- a change\n\n… (shortened)\n"));
}

#[test]
fn a_forge_gets_no_more_than_it_accepts() {
    let long: Markdown = (0..5000).map(|n| markdown!("- commit {}\n", n)).collect();
    let sent = serde_json::to_value(&long).unwrap();
    let sent = sent.as_str().unwrap();
    assert!(sent.chars().count() < 65_536);
    assert!(
        sent.ends_with("\n\n… (shortened)\n"),
        "{}",
        &sent[sent.len() - 60..]
    );
}
