# The part of nixpkgs.lib that this project uses.
let
  inherit (builtins) attrNames concatMap concatStringsSep elem filter isAttrs isString listToAttrs map mapAttrs removeAttrs;

  genAttrs = names: value:
    listToAttrs (map (name: {
        inherit name;
        value = value name;
      })
      names);
  mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);

  modules = import ./modules.nix;

  getOutput = output: package:
    if package.outputSpecified or false
    then package
    else package.${output} or package.out or package;

  # A file set is the list of its files, each as a text.
  fileset = let
    # The root of the flake is a folder. Nix may not list the store.
    typeOf = path:
      if builtins.match ".*/nix/store/[^/]+" (toString path) != null
      then "directory"
      else (builtins.readDir (dirOf path)).${baseNameOf path};
    filesIn = path: type:
      if type == "directory"
      then concatMap (name: filesIn (path + "/${name}") (builtins.readDir path).${name}) (attrNames (builtins.readDir path))
      else [(toString path)];
    files = function: entry:
      if ! builtins.isPath entry
      then entry
      else if ! builtins.pathExists entry
      then throw "lib.fileset.${function}: ${toString entry} does not exist"
      else filesIn entry (typeOf entry);
  in {
    unions = concatMap (files "unions");
    difference = positive: negative: let
      excluded = genAttrs (files "difference" negative) (_: true);
    in
      filter (file: ! excluded ? ${file}) (files "difference" positive);
    toSource = {
      root,
      fileset,
    }: let
      prefix = toString root + "/";
      length = builtins.stringLength prefix;
      relative = file:
        if builtins.substring 0 length file == prefix
        then builtins.substring length (-1) file
        else throw "lib.fileset.toSource: ${file} is not in ${prefix}";
    in {
      outPath = "/nix/store/00000000000000000000000000000000-source";
      files = map relative (files "toSource" fileset);
    };
  };
in {
  inherit (builtins) attrNames attrValues concatMap concatStringsSep elem filter getAttr head isString length listToAttrs mapAttrs tail;
  inherit (modules) evalModules mkBefore mkDefault mkEnableOption mkForce mkIf mkMerge mkOption types;
  inherit fileset genAttrs mapAttrsToList;

  concatMapStrings = f: list: concatStringsSep "" (map f list);
  concatMapStringsSep = separator: f: list: concatStringsSep separator (map f list);
  concatStrings = concatStringsSep "";
  filterAttrs = keep: set: removeAttrs set (filter (name: ! keep name set.${name}) (attrNames set));
  inherit getOutput;
  getBin = getOutput "bin";
  getDev = getOutput "dev";
  getExe = package:
    "${getOutput "bin" package}/bin/"
    + (package.meta.mainProgram or (throw "getExe: ${package.name} has no meta.mainProgram"));
  getExe' = package: name: "${getOutput "bin" package}/bin/${name}";
  imap1 = f: list: builtins.genList (n: f (n + 1) (builtins.elemAt list n)) (builtins.length list);
  importTOML = path: builtins.fromTOML (builtins.readFile path);
  isDerivation = value: isAttrs value && value.type or null == "derivation";
  literalExpression = text:
    assert isString text; {
      _type = "literalExpression";
      inherit text;
    };
  licenses = genAttrs ["mit"] (spdxId: {inherit spdxId;});
  optional = condition: value:
    if condition
    then [value]
    else [];
  optionalAttrs = condition: set:
    if condition
    then set
    else {};
  optionalString = condition: text:
    if condition
    then text
    else "";
  optionals = condition: list:
    if condition
    then list
    else [];
  unique = builtins.foldl' (found: value:
    if elem value found
    then found
    else found ++ [value]) [];
  warnIf = condition: message: value:
    if condition
    then builtins.trace "warning: ${message}" value
    else value;
}
