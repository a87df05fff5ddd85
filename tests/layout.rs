//! The floors of `src/`: a module imports from its own folder and from the folders below it, and nothing imports in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The folders and files of `src/`, from the top down. What stands on one line may not import each other either.
const FLOORS: [&str; 19] = [
    "guide",
    "builder",
    "testing",
    "inbox",
    "handlers",
    "server",
    "connection",
    "upstream",
    "delivery",
    "faults",
    "limits",
    "auth",
    "session",
    "io",
    "envelope",
    "mime",
    "content",
    "config error stats",
    "syntax",
];

/// The names from the crate's root to a module: none for the root itself.
type Module = Vec<String>;

/// What each module imports, with the names that it takes.
struct Imports(BTreeMap<Module, BTreeMap<Module, BTreeSet<String>>>);

#[test]
fn no_module_imports_from_a_floor_above_its_own() {
    let Imports(imports) = Imports::read("src/lib.rs");
    let floor = |module: &Module| {
        let name = module.first()?;
        let found = FLOORS.iter().position(|floor| floor.split(' ').any(|stands| stands == name));
        Some(found.unwrap_or_else(|| panic!("src/{name} is on no floor: give it one in FLOORS")))
    };
    let mut faults = Vec::new();
    for (module, targets) in &imports {
        // The root hands everything on to users; the pages, and what benchmarks see, are written as a user would.
        let Some(own) = floor(module).filter(|_| module[0] != "guide" && *module != ["testing", "internals"]) else {
            continue;
        };
        for (target, names) in targets {
            match floor(target) {
                Some(below) if below > own || target[0] == module[0] => {}
                Some(_) => faults.push(format!("{} imports {names:?} from {}", show(module), show(target))),
                None => faults.push(format!("{} imports {names:?} through the root", show(module))),
            }
        }
    }
    assert!(faults.is_empty(), "imports that do not point down:\n{}", faults.join("\n"));
}

#[test]
fn no_modules_import_in_a_circle() {
    for root in ["src/lib.rs", "src/bin/pillarbox/main.rs"] {
        let imports = Imports::read(root);
        if let Some(circle) = imports.circle() {
            let names: Vec<_> = circle.iter().map(show).collect();
            panic!("in {root}, a circle of imports: {}", names.join(" -> "));
        }
    }
}

#[test]
fn src_has_few_entries() {
    let entries: Vec<_> =
        fs::read_dir(manifest_dir().join("src")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(entries.len() <= 23, "{entries:?}");
}

fn manifest_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn show(module: &Module) -> String {
    if module.is_empty() { "the root".into() } else { module.join("::") }
}

impl Imports {
    fn read(root: &str) -> Imports {
        let root = manifest_dir().join(root);
        let mut files = BTreeMap::new();
        find_modules(root.parent().expect("a file's folder"), &mut Vec::new(), &mut files);
        files.insert(Vec::new(), root);
        let all: BTreeSet<Module> = files.keys().cloned().collect();
        let mut imports = BTreeMap::new();
        for (module, file) in files {
            let text = fs::read_to_string(&file).unwrap();
            let tokens: TokenStream = text.parse().unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            let mut reader = Reader { module: &module, all: &all, found: BTreeMap::new() };
            reader.read(tokens);
            let found = reader.found;
            imports.insert(module, found);
        }
        assert!(imports.values().any(|targets| !targets.is_empty()), "no imports were found");
        Imports(imports)
    }

    /// Modules each of which imports the next, and the last the first.
    fn circle(&self) -> Option<Vec<Module>> {
        let mut done = BTreeSet::new();
        self.0.keys().find_map(|module| self.search(module, &mut Vec::new(), &mut done))
    }

    fn search(&self, module: &Module, path: &mut Vec<Module>, done: &mut BTreeSet<Module>) -> Option<Vec<Module>> {
        if let Some(start) = path.iter().position(|above| above == module) {
            return Some(path[start..].iter().chain([module]).cloned().collect());
        }
        if !done.insert(module.clone()) {
            return None;
        }
        path.push(module.clone());
        let mut targets = self.0.get(module).into_iter().flat_map(BTreeMap::keys);
        let found = targets.find_map(|target| self.search(target, path, done));
        path.pop();
        found
    }
}

/// `found` gets the modules in and below a folder, but for tests.
fn find_modules(folder: &Path, above: &mut Module, found: &mut BTreeMap<Module, PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && name != "bin" {
            above.push(name);
            find_modules(&path, above, found);
            above.pop();
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !["tests", "lib", "main"].contains(&&*name)
        {
            let own = (name != "mod").then_some(name);
            found.insert(above.iter().cloned().chain(own).collect(), path);
        }
    }
}

/// Collects what one module imports.
struct Reader<'a> {
    module: &'a Module,
    all: &'a BTreeSet<Module>,
    found: BTreeMap<Module, BTreeSet<String>>,
}

impl Reader<'_> {
    fn read(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            if is_test_module(&tokens[at..]) {
                // `# [cfg(test)] mod name { ... }`, or with a semicolon.
                at += 5;
                continue;
            }
            if let Some(length) = self.handed_on(&tokens[at..]) {
                at += length;
                continue;
            }
            let starts =
                at == 0 || !matches!(&tokens[at - 1], TokenTree::Punct(punct) if ":.".contains(punct.as_char()));
            match &tokens[at] {
                TokenTree::Ident(_) if starts => self.path(&tokens[at..], self.module.clone()),
                TokenTree::Group(group) if !is_visibility(&tokens[..at], group.delimiter()) => {
                    self.read(group.stream())
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// How long a `pub use child::...;` is: a module that hands on what its children have does not use it.
    fn handed_on(&self, tokens: &[TokenTree]) -> Option<usize> {
        (word(tokens.first()?)? == "pub").then_some(())?;
        let visibility = if matches!(tokens.get(1)?, TokenTree::Group(_)) { 2 } else { 1 };
        (word(tokens.get(visibility)?)? == "use").then_some(())?;
        let mut first = visibility + 1;
        if word(tokens.get(first)?)? == "self" {
            first += 3;
        }
        self.child(&word(tokens.get(first)?)?).then_some(())?;
        tokens.iter().position(|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ';'))
    }

    fn child(&self, name: &str) -> bool {
        let child: Module = self.module.iter().cloned().chain([name.to_owned()]).collect();
        self.all.contains(&child)
    }

    /// Follows a path, and each of its branches, from the module in which it is written.
    fn path(&mut self, tokens: &[TokenTree], from: Module) {
        let Some(first) = word(&tokens[0]) else { return };
        let target = match first.as_str() {
            "crate" => Vec::new(),
            "self" => from,
            "super" => from[..from.len().saturating_sub(1)].to_vec(),
            name if is_followed(tokens) && self.child(name) => from.into_iter().chain([first]).collect(),
            _ => return,
        };
        self.follow(&tokens[1..], target);
    }

    /// `tokens` are what follows the name of `target`, a module.
    fn follow(&mut self, mut tokens: &[TokenTree], mut target: Module) {
        while is_separator(tokens) {
            match tokens.get(2) {
                Some(TokenTree::Group(group)) => return self.branches(group.stream(), &target),
                Some(TokenTree::Ident(name)) if *name == "super" => drop(target.pop()),
                Some(TokenTree::Ident(name)) => {
                    target.push(name.to_string());
                    if !self.all.contains(&target) {
                        target.pop();
                        return self.note(target, name.to_string());
                    }
                }
                _ => return self.note(target, "*".into()),
            }
            tokens = &tokens[3..];
        }
        self.note(target, "itself".into());
    }

    fn branches(&mut self, tokens: TokenStream, target: &Module) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for branch in tokens.split(|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',')) {
            let Some(name) = branch.first().and_then(word) else { continue };
            let inner: Module = target.iter().cloned().chain([name.clone()]).collect();
            if self.all.contains(&inner) {
                self.follow(&branch[1..], inner);
            } else {
                self.note(target.clone(), name);
            }
        }
    }

    fn note(&mut self, target: Module, name: String) {
        if target != *self.module {
            self.found.entry(target).or_default().insert(name);
        }
    }
}

fn word(token: &TokenTree) -> Option<String> {
    if let TokenTree::Ident(ident) = token { Some(ident.to_string()) } else { None }
}

fn is_separator(tokens: &[TokenTree]) -> bool {
    let colon = |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    colon(tokens.first()) && colon(tokens.get(1))
}

fn is_followed(tokens: &[TokenTree]) -> bool {
    is_separator(&tokens[1..])
}

/// The parentheses of `pub(in crate::handlers)`.
fn is_visibility(before: &[TokenTree], delimiter: Delimiter) -> bool {
    delimiter == Delimiter::Parenthesis && before.last().and_then(word).is_some_and(|word| word == "pub")
}

/// `#[cfg(test)] mod name`, or a module for tests of some systems only.
fn is_test_module(tokens: &[TokenTree]) -> bool {
    let Some(TokenTree::Group(attribute)) = tokens.get(1) else { return false };
    let condition = attribute.stream().to_string();
    let is_for_tests =
        condition.starts_with("cfg") && condition.split(|c: char| !c.is_alphanumeric()).any(|word| word == "test");
    is_for_tests && tokens.get(2).and_then(word).is_some_and(|word| word == "mod")
}
