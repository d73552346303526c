// Command recloser-operator keeps gateways in a Kubernetes cluster as their
// VirtualMCPServers say, and writes there how they and their backends are.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
	"github.com/recloser-mcp/recloser/operator/internal/controller"
	"github.com/recloser-mcp/recloser/operator/internal/render"
)

// version is set when a release is built.
var version = "0.1.0-dev"

// settings are the flags.
type settings struct {
	namespaces     string
	image          string
	metrics        string
	probes         string
	elect          bool
	electNamespace string
	poll           time.Duration
	bindPodIP      bool
	level          slog.LevelVar
	showVersion    bool
}

func (s *settings) register(f *flag.FlagSet) {
	f.StringVar(&s.namespaces, "namespaces", "", "the namespaces to look after, separated by commas; all without it")
	f.StringVar(&s.image, "gateway-image", "recloser:"+version, "the image of gateways whose spec names none")
	f.StringVar(&s.metrics, "metrics-address", ":8080", "where the operator's own metrics are served; 0 for nowhere")
	f.StringVar(&s.probes, "probe-address", ":8081", "where /healthz and /readyz are served")
	f.BoolVar(&s.elect, "leader-elect", false, "have one of several operators work at a time")
	f.StringVar(&s.electNamespace, "leader-election-namespace", "", "where the lease is; the operator's own namespace without it")
	f.DurationVar(&s.poll, "poll-interval", 5*time.Second, "the time between two looks at the pods of a gateway")
	f.BoolVar(&s.bindPodIP, "bind-pod-ip", false, "have gateways listen on the address of their pod only, where pods share the network of a host")
	f.TextVar(&s.level, "log-level", &s.level, "what is logged: debug, info, warn or error")
	f.BoolVar(&s.showVersion, "version", false, "print the version")
}

// split lists the namespaces.
func (s *settings) split() []string {
	return strings.FieldsFunc(s.namespaces, func(r rune) bool { return r == ',' || r == ' ' })
}

func main() {
	var s settings
	s.register(flag.CommandLine)
	flag.Parse()
	if s.showVersion {
		fmt.Println("recloser-operator " + version)
		return
	}
	ctrl.SetLogger(logr.FromSlogHandler(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: &s.level})))
	if err := run(&s); err != nil {
		ctrl.Log.Error(err, "the operator ends")
		os.Exit(1)
	}
}

// run works until it is told to stop.
func run(s *settings) error {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return err
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return err
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	m, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        scheme,
		Cache:                         controller.Cache(s.split()...),
		Metrics:                       server.Options{BindAddress: s.metrics},
		HealthProbeBindAddress:        s.probes,
		LeaderElection:                s.elect,
		LeaderElectionID:              "recloser-operator",
		LeaderElectionNamespace:       s.electNamespace,
		LeaderElectionReleaseOnCancel: true,
	})
	if err != nil {
		return err
	}
	for _, add := range []func(string, healthz.Checker) error{m.AddHealthzCheck, m.AddReadyzCheck} {
		if err := add("ping", healthz.Ping); err != nil {
			return err
		}
	}
	err = controller.Setup(m, controller.Options{
		Render: render.Options{
			Image: s.image, BindPodIP: s.bindPodIP,
			OperatorNamespace: cmp.Or(os.Getenv("POD_NAMESPACE"), s.electNamespace),
		},
		PollEvery: s.poll,
	})
	if err != nil {
		return err
	}
	return m.Start(ctrl.SetupSignalHandler())
}
