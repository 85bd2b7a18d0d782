// argo-lint does what `argo lint --offline --output simple FILE...` does, by Argo's own validation and without a cluster: it
// prints every finding and ends with 1 when there is one, or when there was nothing to lint. What is no kind of Argo's is read
// as the API server reads it, unknown fields refused.
//
// The program `argo` itself cannot be built from its released module: the pages that it embeds are not in it.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/argoproj/argo-workflows/v3/pkg/apis/workflow"
	workflows "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"
	"github.com/argoproj/argo-workflows/v3/workflow/common"
	"github.com/argoproj/argo-workflows/v3/workflow/templateresolution"
	"github.com/argoproj/argo-workflows/v3/workflow/validate"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
)

// templates are the workflow templates of the files, by namespace and name.
type templates map[string]*workflows.WorkflowTemplate

// namespaced is what one namespace sees of them.
type namespaced struct {
	all       templates
	namespace string
}

func (n namespaced) Get(name string) (*workflows.WorkflowTemplate, error) {
	if found, ok := n.all[n.namespace+"/"+name]; ok {
		return found, nil
	}
	return nil, fmt.Errorf("no workflow template %q in namespace %q", name, n.namespace)
}

// read gives Argo's objects of the files, fields that Argo does not know refused, and counts those of Kubernetes.
func read(files []string) (objects []common.ParseResult, others int, err error) {
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, 0, err
		}
		objects = append(objects, common.ParseObjects(content, true)...)
		count, err := kubernetes(content)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", file, err)
		}
		others += count
	}
	return objects, others, nil
}

// kubernetes decodes what is of Kubernetes' own kinds strictly.
func kubernetes(content []byte) (int, error) {
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	documents, count := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content))), 0
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return count, nil
		}
		if err != nil {
			return count, err
		}
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			return count, err
		}
		if kind.GroupVersionKind().Group == workflow.Group {
			continue
		}
		if _, _, err := decoder.Decode(document, nil, nil); err != nil {
			return count, err
		}
		count++
	}
}

// lint validates an object as `argo lint` does; false when it is none of Argo's.
func lint(object common.ParseResult, all templates) (bool, error) {
	lint, nowhere := validate.ValidateOpts{Lint: true}, &templateresolution.NullClusterWorkflowTemplateGetter{}
	seen := func(namespace string) namespaced { return namespaced{all, namespace} }
	switch found := object.Object.(type) {
	case *workflows.WorkflowTemplate:
		return true, errors.Join(object.Err, validate.ValidateWorkflowTemplate(seen(found.Namespace), nowhere, found, nil, lint))
	case *workflows.CronWorkflow:
		return true, errors.Join(object.Err, validate.ValidateCronWorkflow(context.Background(), seen(found.Namespace), nowhere, found, nil))
	case *workflows.Workflow:
		return true, errors.Join(object.Err, validate.ValidateWorkflow(seen(found.Namespace), nowhere, found, nil, lint))
	}
	return false, nil
}

func run(files []string) error {
	objects, others, err := read(files)
	if err != nil {
		return err
	}
	all := templates{}
	for _, object := range objects {
		if template, ok := object.Object.(*workflows.WorkflowTemplate); ok {
			all[template.Namespace+"/"+template.Name] = template
		}
	}
	linted, found := 0, []error{}
	for _, object := range objects {
		ours, err := lint(object, all)
		if ours {
			linted++
		}
		if err != nil {
			found = append(found, fmt.Errorf("%s%s: %w", object.Object.GetName(), object.Object.GetGenerateName(), err))
		}
	}
	if linted+others == 0 {
		return errors.New("nothing to lint")
	}
	fmt.Println(linted, "of Argo,", others, "of Kubernetes")
	return errors.Join(found...)
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
