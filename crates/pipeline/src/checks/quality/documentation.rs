//! Which public items say what they are. The compiler's lint asks it of what a library gives away; this also of
//! programs, where nothing leaves the crate, and it counts.

use syn::visit::{self, Visit};
use syn::{Attribute, Fields, Ident, Meta, TraitItem, Visibility};

/// A public item.
#[derive(Debug, PartialEq)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) documented: bool,
}

/// All public items of a file: types with their variants and named fields, functions, methods, traits, constants. A
/// `pub mod` is not among them, as it is documented in its own file; neither is what only tests see, nor fields whose
/// type says that they need no words (`expect(missing_docs)`, with a reason).
pub(super) fn items(file: &syn::File) -> Vec<Item> {
    let mut reader = Reader::default();
    reader.visit_file(file);
    reader.items
}

#[derive(Default)]
struct Reader {
    items: Vec<Item>,
}

impl Reader {
    /// Whether the item is public, and so is what is in it.
    fn item(&mut self, visibility: &Visibility, name: &Ident, attributes: &[Attribute]) -> bool {
        let public = matches!(visibility, Visibility::Public(_));
        if public {
            self.add(name, attributes);
        }
        public
    }

    fn add(&mut self, name: &Ident, attributes: &[Attribute]) {
        self.items.push(Item {
            name: name.to_string(),
            line: name.span().start().line,
            documented: attributes.iter().any(|it| it.path().is_ident("doc")),
        });
    }
}

/// Whether an attribute has a word in its parentheses.
fn has(attributes: &[Attribute], names: &[&str], word: &str) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => {
            let tokens = list.tokens.to_string();
            names.iter().any(|name| list.path.is_ident(name))
                && tokens.split([',', ' ']).any(|token| token == word)
        }
        _ => false,
    })
}

fn is_excused(attributes: &[Attribute]) -> bool {
    has(attributes, &["allow", "expect"], "missing_docs")
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !has(&item.attrs, &["cfg"], "test") {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.item(&item.vis, &item.sig.ident, &item.attrs);
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.item(&item.vis, &item.ident, &item.attrs);
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.item(&item.vis, &item.ident, &item.attrs);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.item(&item.vis, &item.ident, &item.attrs);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        if self.item(&item.vis, &item.ident, &item.attrs) && !is_excused(&item.attrs) {
            for field in &item.fields {
                if let Some(name) = &field.ident {
                    self.item(&field.vis, name, &field.attrs);
                }
            }
        }
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        if self.item(&item.vis, &item.ident, &item.attrs) && !is_excused(&item.attrs) {
            for variant in &item.variants {
                self.add(&variant.ident, &variant.attrs);
                if let Fields::Named(fields) = &variant.fields {
                    for field in &fields.named {
                        field
                            .ident
                            .iter()
                            .for_each(|name| self.add(name, &field.attrs));
                    }
                }
            }
        }
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        if self.item(&item.vis, &item.ident, &item.attrs) {
            for inner in &item.items {
                match inner {
                    TraitItem::Fn(it) => self.add(&it.sig.ident, &it.attrs),
                    TraitItem::Const(it) => self.add(&it.ident, &it.attrs),
                    TraitItem::Type(it) => self.add(&it.ident, &it.attrs),
                    _ => {}
                }
            }
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        // What a trait asks for is documented there.
        if item.trait_.is_none() {
            visit::visit_item_impl(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.item(&item.vis, &item.sig.ident, &item.attrs);
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.item(&item.vis, &item.ident, &item.attrs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_public_item_counts_and_no_other() {
        let source = "\
//! Of the file.
/// A.
pub fn a() { pub fn inside() {} }
pub const B: u8 = 1;
pub(crate) fn not() {}
fn nor() {}
pub static C: u8 = 1;
pub type D = u8;
/** E. */
pub struct E { pub f: u8, g: u8 }
pub struct H(pub u8);
#[expect(missing_docs, reason = \"as in E\")]
/// I.
pub struct I { pub f: u8 }
pub enum J { /// K.
    K, L { m: u8 }, N(u8) }
pub trait O { fn p(); const Q: u8; type R; }
impl E { pub const S: u8 = 1; pub fn t() {} fn u() {} }
impl O for E { fn p() {} }
struct V { pub w: u8 }
pub mod elsewhere;
mod x { #[doc = \"Y.\"] pub fn y() {} }
#[cfg(test)]
mod tests { pub fn z() {} }
";
        let items = items(&syn::parse_file(source).unwrap());
        let names = |documented: bool| {
            let names = items.iter().filter(|item| item.documented == documented);
            names
                .map(|item| item.name.as_str())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(names(true), "a E I K y");
        assert_eq!(names(false), "B C D f H J L m N O p Q R S t");
        let f = items.iter().find(|item| item.name == "f");
        assert_eq!(f.map(|item| item.line), Some(10));
    }
}
