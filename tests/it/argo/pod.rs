//! A pod of the model: it runs the real program, and its volumes are directories.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::lint::PROGRAM;
use super::manifests::{by_name, list, text};
use super::model::{Cluster, Given, Model, Node, Phase, Scope, only};
use crate::support::programs::{Run as Ended, run};
use crate::support::require;

impl Cluster {
    /// Runs one pod with the real program. Its volumes are directories.
    pub fn pod(&self, template: &Value, scope: &Scope<'_>, given: &Given, attempt: usize) -> Model<Node> {
        let container = &template["container"];
        let settings = ["image", "resources", "securityContext"];
        only(
            container,
            &[&settings[..], &["command", "args", "env", "workingDir", "volumeMounts", "terminationMessagePolicy"]]
                .concat(),
            "a container",
        )?;
        if list(&container["command"]) != [PROGRAM] {
            return Err(format!("outside of the model: the command {}", container["command"]));
        }
        let lost = self.lost.iter().find(|((name, at), _)| *name == text(&template["name"]) && *at == attempt);
        let lost = lost.map(|(_, lost)| {
            let message = lost.message.to_owned();
            (lost.ran, Node { codes: vec![lost.code], message, ..Node::of(lost.phase) })
        });
        if let Some((false, node)) = lost {
            return Ok(node);
        }
        let volumes = Volumes::mounted(self, template)?;
        volumes.bring(template, given, scope)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_alga-release"));
        command.env_clear().current_dir(volumes.place(text(&container["workingDir"])));
        // The image contains helm and kustomize. If the machine does not have them, the program cannot call them.
        let judges: Option<Vec<PathBuf>> = ["helm", "kustomize"].into_iter().map(require).collect();
        let directories = judges.iter().flatten().filter_map(|program| program.parent());
        command.env("PATH", std::env::join_paths(directories).map_err(|cause| cause.to_string())?);
        for argument in list(&container["args"]) {
            let argument = match text(argument) {
                "--render=require" if judges.is_none() => "--render=off",
                argument => argument,
            };
            command.arg(volumes.argument(&scope.filled(argument)?));
        }
        for variable in list(&container["env"]) {
            let value = match variable.get("value") {
                Some(value) => volumes.argument(&scope.filled(text(value))?),
                None => self.secret(&variable["valueFrom"]["secretKeyRef"])?,
            };
            command.env(text(&variable["name"]), value);
        }
        let ended = run(&mut command);
        if let Some((_, node)) = lost {
            return Ok(node);
        }
        volumes.collect(template, ended)
    }
}

/// The volumes of a pod: one directory each, by the path in the container.
struct Volumes {
    here: tempfile::TempDir,
    by_path: BTreeMap<String, PathBuf>,
}

impl Volumes {
    fn mounted(cluster: &Cluster, template: &Value) -> Model<Self> {
        let here = tempfile::tempdir().map_err(|cause| cause.to_string())?;
        let mounts = by_name(&template["container"]["volumeMounts"]);
        let mut by_path = BTreeMap::new();
        for (name, volume) in by_name(&template["volumes"]) {
            only(volume, &["name", "emptyDir", "secret"], "a volume")?;
            let directory = here.path().join(name);
            fs::create_dir(&directory).map_err(|cause| cause.to_string())?;
            for item in list(&volume["secret"]["items"]) {
                let reference = serde_json::json!({"name": volume["secret"]["secretName"], "key": item["key"]});
                let value = cluster.secret(&reference)?;
                fs::write(directory.join(text(&item["path"])), value).map_err(|cause| cause.to_string())?;
            }
            let mount = mounts.get(name).ok_or_else(|| format!("the volume {name} is not mounted"))?;
            by_path.insert(text(&mount["mountPath"]).to_owned(), directory);
        }
        Ok(Self { here, by_path })
    }

    /// Returns the directory for a path in the container.
    fn place(&self, path: &str) -> PathBuf {
        let below = |(mount, directory): (&String, &PathBuf)| {
            let rest = path.strip_prefix(mount.as_str())?;
            (rest.is_empty() || rest.starts_with('/')).then(|| directory.join(rest.trim_start_matches('/')))
        };
        // A path outside of the volumes is read-only, and does not exist in this image.
        self.by_path.iter().find_map(below).unwrap_or_else(|| self.here.path().join("nowhere").join(path))
    }

    /// Returns an argument or a variable with its path replaced.
    fn argument(&self, argument: &str) -> String {
        let (flag, value) = match argument.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (format!("{flag}="), value),
            _ => (String::new(), argument),
        };
        let mapped = self.by_path.keys().any(|mount| value == mount || value.starts_with(&format!("{mount}/")));
        if mapped { format!("{flag}{}", self.place(value).display()) } else { argument.to_owned() }
    }

    /// Provides the input artifacts. A work tree is a link, as in pods without an init container.
    fn bring(&self, template: &Value, given: &Given, scope: &Scope<'_>) -> Model<()> {
        for artifact in list(&template["inputs"]["artifacts"]) {
            only(artifact, &["name", "path", "raw"], "an input artifact")?;
            let (name, place) = (text(&artifact["name"]), self.place(text(&artifact["path"])));
            let brought = match (artifact.get("raw"), given.artifacts.get(name)) {
                (Some(raw), None) => fs::write(place, scope.filled(text(&raw["data"]))?),
                (None, Some(source)) => std::os::unix::fs::symlink(source, place),
                _ => return Err(format!("the artifact {name} is not given, or given twice")),
            };
            brought.map_err(|cause| cause.to_string())?;
        }
        Ok(())
    }

    /// Collects the outputs, also after a failure.
    fn collect(&self, template: &Value, ended: Ended) -> Model<Node> {
        let mut node = Node::of(if ended.code == Some(0) { Phase::Succeeded } else { Phase::Failed });
        for output in list(&template["outputs"]["parameters"]) {
            only(&output["valueFrom"], &["path", "default"], "an output")?;
            let file = fs::read_to_string(self.place(text(&output["valueFrom"]["path"])));
            let value = match (file, output["valueFrom"]["default"].as_str()) {
                (Ok(value), _) => value.strip_suffix('\n').unwrap_or(&value).to_owned(),
                (Err(_), Some(default)) => default.to_owned(),
                (Err(_), None) => return Ok(Node::of(Phase::Error)),
            };
            node.outputs.insert(text(&output["name"]).to_owned(), value);
        }
        for artifact in list(&template["outputs"]["artifacts"]) {
            only(artifact, &["name", "path", "optional", "archive"], "an output artifact")?;
            match fs::read_to_string(self.place(text(&artifact["path"]))) {
                Ok(content) => drop(node.artifacts.insert(text(&artifact["name"]).to_owned(), content)),
                Err(_) if artifact["optional"] == true => {}
                Err(_) => return Ok(Node::of(Phase::Error)),
            }
        }
        node.codes = vec![ended.code];
        if let Some(code) = ended.code.filter(|code| *code != 0) {
            // If the policy says so, Kubernetes uses the end of the log, and Argo 3.7.16 puts it after the exit code
            // (`inferFailedReason`).
            let log = template["container"]["terminationMessagePolicy"] == "FallbackToLogsOnError";
            let log = if log { format!(": {}", ended.stderr) } else { String::new() };
            node.message = format!("main: Error (exit code {code}){log}");
        }
        node.said = ended.stderr;
        Ok(node)
    }
}
