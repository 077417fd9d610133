// Command controller is an operator for the Widgets of examples/1-first-crd, put together as kubebuilder does it: it elects a leader,
// keeps a ConfigMap for each Widget, reports in the status, records events, holds a finalizer, and serves metrics to those whom the
// API server knows and allows. Its configuration is that of a Pod.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metrics "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/recorder"
)

const finalizer = "example.com/parts"

var widgets = schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Widget"}

type reconciler struct {
	client.Client
	events recorder.EventRecorder
}

// Reconcile brings the ConfigMap and the status of a Widget up to date with its spec.
func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	widget := newWidget()
	if err := r.Get(ctx, request.NamespacedName, widget); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !widget.GetDeletionTimestamp().IsZero() {
		if controllerutil.RemoveFinalizer(widget, finalizer) {
			return ctrl.Result{}, r.Update(ctx, widget)
		}
		return ctrl.Result{}, nil
	}
	if controllerutil.AddFinalizer(widget, finalizer) {
		return ctrl.Result{}, r.Update(ctx, widget)
	}
	replicas, _, _ := unstructured.NestedInt64(widget.Object, "spec", "replicas")
	parts := &corev1.ConfigMap{}
	parts.Name, parts.Namespace = widget.GetName()+"-parts", widget.GetNamespace()
	done, err := controllerutil.CreateOrUpdate(ctx, r.Client, parts, func() error {
		parts.Data = map[string]string{"replicas": fmt.Sprint(replicas)}
		return controllerutil.SetControllerReference(widget, parts, r.Scheme())
	})
	if err != nil {
		return ctrl.Result{}, err
	}
	before := widget.DeepCopy()
	_ = unstructured.SetNestedField(widget.Object, replicas, "status", "replicas")
	_ = unstructured.SetNestedField(widget.Object, fmt.Sprintf("%d parts", replicas), "status", "message")
	if err := r.Status().Patch(ctx, widget, client.MergeFrom(before)); err != nil {
		return ctrl.Result{}, err
	}
	if done != controllerutil.OperationResultNone {
		r.events.Eventf(widget, parts, corev1.EventTypeNormal, "Assembled", "Assemble", "%d parts", replicas)
	}
	return ctrl.Result{}, nil
}

func newWidget() *unstructured.Unstructured {
	widget := &unstructured.Unstructured{}
	widget.SetGroupVersionKind(widgets)
	return widget
}

func run(namespace, address string) error {
	configuration, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	manager, err := ctrl.NewManager(configuration, ctrl.Options{
		Cache:                         cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}},
		LeaderElection:                true,
		LeaderElectionID:              "widgets.example.com",
		LeaderElectionReleaseOnCancel: true,
		Metrics: metrics.Options{
			BindAddress:    address,
			SecureServing:  true,
			FilterProvider: filters.WithAuthenticationAndAuthorization,
		},
	})
	if err != nil {
		return err
	}
	events := manager.GetEventRecorder("widgets")
	controller := ctrl.NewControllerManagedBy(manager).For(newWidget()).Owns(&corev1.ConfigMap{})
	if err := controller.Complete(&reconciler{manager.GetClient(), events}); err != nil {
		return err
	}
	return manager.Start(ctrl.SetupSignalHandler())
}

func main() {
	namespace := flag.String("namespace", "", "the namespace whose Widgets are served")
	address := flag.String("metrics", "0", "the address of metrics")
	flag.Parse()
	ctrl.SetLogger(zap.New())
	if err := run(*namespace, *address); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
