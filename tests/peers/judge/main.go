// judge answers many questions about trees of files in one process, with Flux's, kustomize's and Helm's own libraries, without a
// cluster and without a network. It reads one JSON object a line on stdin and writes one a line on stdout, in the same order:
//
//	{"kustomize": ROOT, "path": DIRECTORY, "kustomization": YAML or null}  build spec.path as kustomize-controller does ("error"), and
//	                                                                      whether `kustomize build` would refuse the file in it ("plain")
//	{"template": TEXT}                                                    parse a template with Helm's functions, execute nothing
//	{"chart": DIRECTORY, "values": [YAML, ...], "name": N, "namespace": S} what `helm template` does, with the values merged in order
//	{"lint": DIRECTORY, "values": [YAML, ...], "namespace": S}            what `helm lint` calls an error
//
// The answer is {"ok": true, "objects": YAML} or {"ok": false, "error": TEXT}. A panic of a library is an error.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/fluxcd/pkg/kustomize"
	securefs "github.com/fluxcd/pkg/kustomize/filesys"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	"sigs.k8s.io/yaml"
)

type request struct {
	Kustomize     *string  `json:"kustomize"`
	Path          string   `json:"path"`
	Kustomization *string  `json:"kustomization"`
	Template      *string  `json:"template"`
	Chart         *string  `json:"chart"`
	Lint          *string  `json:"lint"`
	Values        []string `json:"values"`
	Name          string   `json:"name"`
	Namespace     string   `json:"namespace"`
}

type answer struct {
	Ok      bool   `json:"ok"`
	Error   string `json:"error,omitempty"`
	Plain   string `json:"plain,omitempty"`
	Objects string `json:"objects,omitempty"`
}

// built works on a copy: the controller writes a kustomization file into the tree that it builds.
func built(root, path string, text *string) (objects string, flux error, plain error) {
	copied, err := os.MkdirTemp("", "judge-")
	if err != nil {
		return "", err, err
	}
	defer os.RemoveAll(copied)
	if err := os.CopyFS(copied, os.DirFS(root)); err != nil {
		return "", err, err
	}
	directory := filepath.Join(copied, path)
	// A schema of a tree stays in the libraries until they are reset, which takes longer than most builds.
	if mentions(copied, "openapi") {
		openapi.ResetOpenAPI()
		defer openapi.ResetOpenAPI()
	}
	_, plain = guarded(func() (string, error) { return "", strict(directory) })
	objects, flux = guarded(func() (string, error) {
		given := map[string]any{"spec": map[string]any{"path": path, "prune": true}}
		if text != nil {
			given = map[string]any{}
			if err := yaml.Unmarshal([]byte(*text), &given); err != nil {
				return "", err
			}
		}
		generator := kustomize.NewGenerator(copied, unstructured.Unstructured{Object: given})
		if _, err := generator.WriteFile(directory); err != nil {
			return "", err
		}
		secure, err := securefs.MakeFsOnDiskSecure(copied)
		if err != nil {
			return "", err
		}
		return yamlOf(secure, directory)
	})
	clean := func(err error) error {
		if err == nil {
			return nil
		}
		return errors.New(strings.ReplaceAll(err.Error(), copied, "ROOT"))
	}
	return objects, clean(flux), clean(plain)
}

// strict reads the kustomization file of a directory as kustomize does. Flux reads that one file with less care, and builds all others
// in the same way.
func strict(directory string) error {
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		text, err := os.ReadFile(filepath.Join(directory, name))
		if err != nil {
			continue
		}
		var file types.Kustomization
		if err := file.Unmarshal(text); err != nil {
			return err
		}
		file.FixKustomization()
		return file.CheckEmpty()
	}
	return nil
}

// yamlOf builds with the options of Flux's Build.
func yamlOf(fs filesys.FileSystem, directory string) (string, error) {
	options := &krusty.Options{LoadRestrictions: types.LoadRestrictionsNone, PluginConfig: types.DisabledPluginConfig()}
	resources, err := krusty.MakeKustomizer(options).Run(fs, directory)
	if err != nil {
		return "", err
	}
	text, err := resources.AsYaml()
	return string(text), err
}

func mentions(root, word string) bool {
	found := false
	_ = filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			text, _ := os.ReadFile(path)
			found = found || strings.Contains(string(text), word)
		}
		return nil
	})
	return found
}

// parsed gives the text to the engine as a partial: the engine parses partials and executes none.
func parsed(text string) (string, error) {
	one := &chart.Chart{
		Metadata:  &chart.Metadata{APIVersion: "v2", Name: "judged", Version: "1.0.0"},
		Templates: []*common.File{{Name: "templates/_judged.tpl", Data: []byte(text)}},
	}
	values, err := util.ToRenderValues(one, nil, common.ReleaseOptions{}, common.DefaultCapabilities)
	if err != nil {
		return "", err
	}
	_, err = engine.Render(one, values)
	return "", err
}

func merged(texts []string) (map[string]any, error) {
	values := map[string]any{}
	for _, text := range texts {
		next, err := common.ReadValues([]byte(text))
		if err != nil {
			return nil, err
		}
		values = loader.MergeMaps(values, next)
	}
	return values, nil
}

// rendered follows helm's install with a dry run on the client, step by step.
func rendered(directory string, texts []string, name, namespace string) (string, error) {
	values, err := merged(texts)
	if err != nil {
		return "", fmt.Errorf("values: %w", err)
	}
	loaded, err := loader.Load(directory)
	if err != nil {
		return "", err
	}
	if loaded.Metadata.Type != "" && loaded.Metadata.Type != "application" {
		return "", fmt.Errorf("%s charts are not installable", loaded.Metadata.Type)
	}
	if err := present(loaded); err != nil {
		return "", err
	}
	if name == "" {
		name = "judged"
	}
	if err := chartutil.ValidateReleaseName(name); err != nil {
		return "", err
	}
	if err := chartutil.ProcessDependencies(loaded, values); err != nil {
		return "", err
	}
	capabilities := common.DefaultCapabilities.Copy()
	options := common.ReleaseOptions{Name: name, Namespace: namespace, Revision: 1, IsInstall: true}
	given, err := util.ToRenderValues(loaded, values, options, capabilities)
	if err != nil {
		return "", err
	}
	wanted := loaded.Metadata.KubeVersion
	if wanted != "" && !chartutil.IsCompatibleRange(wanted, capabilities.KubeVersion.String()) {
		return "", fmt.Errorf("chart requires kubeVersion: %s", wanted)
	}
	files, err := engine.Render(loaded, given)
	if err != nil {
		return "", err
	}
	for path := range files {
		if strings.HasSuffix(path, "NOTES.txt") {
			delete(files, path)
		}
	}
	_, manifests, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, manifest := range manifests {
		fmt.Fprintf(&out, "---\n# Source: %s\n%s\n", manifest.Name, manifest.Content)
	}
	return out.String(), nil
}

func present(loaded *chart.Chart) error {
	found := map[string]bool{}
	for _, subchart := range loaded.Dependencies() {
		found[subchart.Name()] = true
	}
	for _, dependency := range loaded.Metadata.Dependencies {
		if !found[dependency.Name] {
			return fmt.Errorf("found in Chart.yaml, but missing in charts/ directory: %s", dependency.Name)
		}
	}
	return nil
}

func linted(directory string, texts []string, namespace string) (string, error) {
	values, err := merged(texts)
	if err != nil {
		return "", fmt.Errorf("values: %w", err)
	}
	result := lint.RunAll(directory, values, namespace)
	var found []string
	for _, message := range result.Messages {
		if message.Severity >= support.ErrorSev {
			found = append(found, message.Error())
		}
	}
	sort.Strings(found)
	if len(found) > 0 {
		return "", errors.New(strings.Join(found, "\n"))
	}
	return "", nil
}

func guarded(work func() (string, error)) (text string, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v", cause)
		}
	}()
	return work()
}

func answered(line []byte) answer {
	var asked request
	if err := json.Unmarshal(line, &asked); err != nil {
		return answer{Error: "invalid request: " + err.Error()}
	}
	if asked.Kustomize != nil {
		objects, flux, plain := built(*asked.Kustomize, asked.Path, asked.Kustomization)
		given := said(objects, flux)
		if plain != nil {
			given.Plain = plain.Error()
		}
		return given
	}
	return said(guarded(func() (string, error) {
		switch {
		case asked.Template != nil:
			return parsed(*asked.Template)
		case asked.Chart != nil:
			return rendered(*asked.Chart, asked.Values, asked.Name, asked.Namespace)
		case asked.Lint != nil:
			return linted(*asked.Lint, asked.Values, asked.Namespace)
		}
		return "", errors.New("invalid request: expected one of kustomize, template, chart, lint")
	}))
}

func said(objects string, err error) answer {
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Ok: true, Objects: objects}
}

func main() {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	input := bufio.NewReaderSize(os.Stdin, 1<<20)
	output := json.NewEncoder(os.Stdout)
	output.SetEscapeHTML(false)
	for {
		line, err := input.ReadBytes('\n')
		if len(line) > 0 {
			if err := output.Encode(answered(line)); err != nil {
				fmt.Fprintln(os.Stderr, "judge:", err)
				os.Exit(1)
			}
		}
		if err != nil {
			return
		}
	}
}
