//! How long functions are, and how many ways lead through them.

use proc_macro2::Span;
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{BinOp, Block, Expr, Signature, Token};

/// A function and its measures.
#[derive(Debug, PartialEq)]
pub(super) struct Function {
    pub(super) name: String,
    /// Where it begins.
    pub(super) line: usize,
    /// From its name to its closing brace.
    pub(super) lines: u64,
    /// Cyclomatic: 1, and 1 more for each `if`, `while`, `for`, `else` of a `let`, arm of a `match` after the first,
    /// guard of an arm, `&&`, `||` and `?`. Closures and what macros are given count for the function that they are in.
    pub(super) complexity: u64,
}

/// All functions of a file, tests and methods included.
pub(super) fn functions(file: &syn::File) -> Vec<Function> {
    let mut reader = Reader::default();
    reader.visit_file(file);
    reader.done
}

#[derive(Default)]
struct Reader {
    done: Vec<Function>,
    /// The complexity, so far, of the function that is being read.
    ways: u64,
}

impl Reader {
    fn function(&mut self, signature: &Signature, block: &Block) {
        // One inside another counts for itself.
        let outer = std::mem::replace(&mut self.ways, 1);
        self.visit_block(block);
        let complexity = std::mem::replace(&mut self.ways, outer);
        let line = line(signature.fn_token.span);
        let end = self::line(block.brace_token.span.close());
        self.done.push(Function {
            name: signature.ident.to_string(),
            line,
            lines: (end - line) as u64 + 1,
            complexity,
        });
    }
}

fn line(span: Span) -> usize {
    span.start().line
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block);
        }
    }

    fn visit_expr(&mut self, expression: &'ast Expr) {
        self.ways += match expression {
            Expr::If(_) | Expr::While(_) | Expr::ForLoop(_) | Expr::Try(_) => 1,
            Expr::Binary(binary) => u64::from(matches!(binary.op, BinOp::And(_) | BinOp::Or(_))),
            Expr::Match(choice) => choice.arms.len().saturating_sub(1) as u64,
            _ => 0,
        };
        visit::visit_expr(self, expression);
    }

    fn visit_pat_guard(&mut self, guard: &'ast syn::PatGuard) {
        self.ways += 1;
        visit::visit_pat_guard(self, guard);
    }

    fn visit_local_init(&mut self, init: &'ast syn::LocalInit) {
        self.ways += u64::from(init.diverge.is_some());
        visit::visit_local_init(self, init);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        // Most are given expressions, as functions are. What others are given is their own language.
        let given = call.parse_body_with(Punctuated::<Expr, Token![,]>::parse_terminated);
        // A reader of its own: what has just been parsed doesn't live as long as the file.
        let mut inside = Self::default();
        given
            .iter()
            .flatten()
            .for_each(|expression| inside.visit_expr(expression));
        self.ways += inside.ways;
        self.done.append(&mut inside.done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str) -> Vec<Function> {
        functions(&syn::parse_file(source).unwrap())
    }

    fn complexity(body: &str) -> u64 {
        read(&format!("fn it() {{ {body} }}"))[0].complexity
    }

    #[test]
    fn each_choice_is_one_more_way() {
        for (body, expected) in [
            ("a(); b()", 1),
            ("if a { b() } else { c() }", 2),
            ("if a { b() } else if c && d { e() }", 4),
            ("if let Some(a) = b && c || d {}", 4),
            ("while a {} for b in c {} loop { break }", 3),
            ("let Some(a) = b else { return };", 2),
            ("match a { 1 => b, 2 => c, _ => d }", 3),
            ("match a { _ => b }", 1),
            ("match a { 1 if b && c => d, _ => e }", 4),
            ("a()?.b()?; Ok(())", 3),
            ("a.map(|a| a && b)", 2),
            ("ensure!(a && b()?, \"{}\", c?)", 4),
            ("json!({ \"a\": b?, \"c\": d? })", 1),
            ("'a'; \"if && ?\"; r#\"\"if\"\"#; /* if */ b'?'", 1),
        ] {
            assert_eq!(complexity(body), expected, "{body}");
        }
    }

    #[test]
    fn every_function_is_seen_where_it_is() {
        let source = "\
/// Says.
pub(crate) async fn one(#[values(1, 2)] c: char) -> bool {
    fn inner() { if a {} }
    c == 'x' || c == '\\''
}

trait T {
    fn none(&self) -> fn(u8);
    fn default(&self) {
        x()
    }
}

mod tests {
    impl T for S { #[test] fn method() { assert!({ fn hidden() {} true }) } }
}
";
        let seen: Vec<_> = read(source)
            .into_iter()
            .map(|f| (f.name, f.line, f.lines, f.complexity))
            .collect();
        let expected = [("inner", 3, 1, 2), ("one", 2, 4, 2), ("default", 9, 3, 1)];
        let more = [("hidden", 15, 1, 1), ("method", 15, 1, 1)];
        let expected = expected.into_iter().chain(more);
        let expected: Vec<_> = expected
            .map(|(name, line, lines, ways)| (name.to_owned(), line, lines, ways))
            .collect();
        assert_eq!(seen, expected);
    }
}
