//! Reading YAML and editing its text by spans: the only room that knows YAML syntax.
