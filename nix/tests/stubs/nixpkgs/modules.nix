# A small module system that is as strict as that of nixpkgs: every definition needs a declared option and a value of
# its type. Freeform modules, `apply` and ordering are not implemented.
let
  inherit (builtins) all any attrNames concatLists concatMap elem filter foldl' functionArgs genList head isAttrs isBool isFunction isInt isList isPath isString length listToAttrs map mapAttrs match removeAttrs toJSON typeOf;

  is = type: value: isAttrs value && value._type or null == type;
  path = location: builtins.concatStringsSep "." location;
  unique = foldl' (found: value:
    if elem value found
    then found
    else found ++ [value]) [];
  names = sets: unique (concatMap attrNames sets);
  having = name: sets: map (set: set.${name}) (filter (set: set ? ${name}) sets);

  mkIf = condition: content: {
    _type = "if";
    inherit condition content;
  };
  mkMerge = contents: {
    _type = "merge";
    inherit contents;
  };
  mkOverride = priority: content: {
    _type = "override";
    inherit priority content;
  };

  # Pushes properties of a set down to its values, so that its names are known without evaluating the properties.
  push = definition:
    if is "merge" definition
    then concatMap push definition.contents
    else if is "if" definition
    then map (mapAttrs (_: mkIf definition.condition)) (push definition.content)
    else if is "override" definition
    then map (mapAttrs (_: mkOverride definition.priority)) (push definition.content)
    else [definition];

  discharge = priority: definition:
    if is "merge" definition
    then concatMap (discharge priority) definition.contents
    else if is "if" definition
    then
      if definition.condition
      then discharge priority definition.content
      else []
    else if is "override" definition
    then discharge definition.priority definition.content
    else [{inherit priority definition;}];

  # The effective definitions, which have the highest priority.
  effective = definitions: let
    all = concatMap (discharge 100) definitions;
    strongest =
      foldl' (least: entry:
        if entry.priority < least
        then entry.priority
        else least)
      9999
      all;
  in
    map (entry: entry.definition) (filter (entry: entry.priority == strongest) all);

  mergeOption = location: option: definitions: let
    default =
      if option ? default
      then [(mkOverride 1500 option.default)]
      else [];
    values = effective (definitions ++ default);
    inherit (option) type;
  in
    if values == []
    then throw "The option `${path location}' was accessed but has no value defined."
    else mergeType location type values;

  mergeType = location: type: values: let
    wrong = filter (value: ! type.check value) values;
  in
    if wrong != []
    then throw "A definition for option `${path location}' is not of type `${type.name}'. TypeError: a ${typeOf (head wrong)}"
    else type.merge location values;

  evalOptions = location: declarations: definitions: let
    declared = filter (is "option") declarations;
    sets = concatMap push definitions;
    unknown = filter (name: !(any (set: set ? ${name}) declarations)) (names sets);
  in
    if declared != []
    then
      if length declarations > 1
      then throw "The option `${path location}' is declared more than once."
      else mergeOption location (head declared) definitions
    else if ! all isAttrs sets
    then throw "The option `${path location}' is a set of options, and not a ${typeOf (head (filter (set: ! isAttrs set) sets))}."
    else if unknown != []
    then throw "The option `${path (location ++ [(head unknown)])}' does not exist."
    else
      listToAttrs (map (name: {
        inherit name;
        value = evalOptions (location ++ [name]) (having name declarations) (having name sets);
      }) (names declarations));

  evalAt = location: {
    modules,
    specialArgs ? {},
  }: let
    arguments = specialArgs // {inherit config;};
    load = module: let
      content =
        if isPath module || isString module
        then import module
        else module;
      set =
        if isFunction content
        then content (mapAttrs (name: _: arguments.${name} or (throw "no module argument `${name}'")) (functionArgs content) // arguments)
        else content;
      structured = set ? options || set ? config;
      extra = attrNames (removeAttrs set ["imports" "options" "config" "_file" "key"]);
    in
      if structured && extra != []
      then throw "A module with `options' or `config' has the unsupported attribute `${head extra}'."
      else
        concatMap load (set.imports or [])
        ++ [
          {
            # A file that several modules import is evaluated once.
            key =
              if isPath module || isString module
              then toString module
              else null;
            options = set.options or {};
            config =
              if structured
              then set.config or {}
              else removeAttrs set ["imports" "_file" "key"];
          }
        ];
    loaded = foldl' (found: module:
      if module.key != null && any (other: other.key == module.key) found
      then found
      else found ++ [module]) [] (concatMap load modules);
    config = evalOptions location (map (module: module.options) loaded) (map (module: module.config) loaded);
  in {inherit config;};

  mk = name: check: merge: {inherit name check merge;};
  one = location: values:
    if length values == 1 || all (value: value == head values) values
    then head values
    else throw "The option `${path location}' has conflicting definition values.";
  concatLines = _: builtins.concatStringsSep "\n";
  between = low: high: value: isInt value && value >= low && value <= high;
  isPackage = value: isAttrs value && value.type or null == "derivation";
  isPathLike = value: isPath value || isPackage value || (isString value && match "/.*" value != null);

  types = rec {
    anything = mk "anything" (_: true) (location: values:
      if all isAttrs values && ! any isPackage values
      then mapAttrs (name: _: anything.merge (location ++ [name]) (effective (having name values))) (foldl' (a: b: a // b) {} values)
      else one location values);
    attrs = mk "attribute set" isAttrs (_: foldl' (a: b: a // b) {});
    bool = mk "boolean" isBool one;
    enum = choices: mk "one of ${toJSON choices}" (value: elem value choices) one;
    float = mk "floating point number" builtins.isFloat one;
    int = mk "signed integer" isInt one;
    ints.positive = mk "positive integer" (between 1 9223372036854775807) one;
    ints.unsigned = mk "unsigned integer" (between 0 9223372036854775807) one;
    lines = mk "strings concatenated with \"\\n\"" isString concatLines;
    nonEmptyStr = mk "non-empty string" (value: isString value && value != "") one;
    package = mk "package" isPackage one;
    path = mk "path" isPathLike one;
    port = mk "16 bit unsigned integer; between 0 and 65535" (between 0 65535) one;
    raw = mk "raw value" (_: true) one;
    str = mk "string" isString one;

    attrsOf = type:
      mk "attribute set of ${type.name}" (value: isAttrs value && ! isPackage value) (location: values: let
        sets = concatMap push values;
        merged = name: effective (having name sets);
      in
        listToAttrs (map (name: {
          inherit name;
          value = mergeType (location ++ [name]) type (merged name);
        }) (filter (name: merged name != []) (names sets))));
    listOf = type:
      mk "list of ${type.name}" isList (location: values:
        concatLists (map (list: genList (n: mergeType (location ++ ["[${toString n}]"]) type [(builtins.elemAt list n)]) (length list)) values));
    either = a: b:
      mk "${a.name} or ${b.name}" (value: a.check value || b.check value) (location: values:
        if all a.check values
        then a.merge location values
        else b.merge location values);
    oneOf = list: foldl' either (head list) (builtins.tail list);
    nullOr = type:
      mk "null or ${type.name}" (value: value == null || type.check value) (location: values:
        if all (value: value == null) values
        then null
        else mergeType location type values);
    submodule = module:
      mk "submodule" (value: isAttrs value || isFunction value || isPath value) (location: values:
        (evalAt location {modules = [module] ++ values;}).config);
  };
in {
  inherit mkIf mkMerge types;
  evalModules = evalAt [];
  mkBefore = content: content;
  mkDefault = mkOverride 1000;
  mkForce = mkOverride 50;
  mkOption = {
    type ? types.raw,
    default ? null,
    defaultText ? null,
    example ? null,
    description ? null,
  } @ option:
    {
      _type = "option";
      inherit type;
    }
    // option;
  mkEnableOption = name: {
    _type = "option";
    type = types.bool;
    default = false;
    description = "Whether to enable ${name}.";
  };
}
