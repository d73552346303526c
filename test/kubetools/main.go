// Kubetools is four programs in one binary: etcd, kube-apiserver,
// kube-controller-manager and kubectl. It is the one whose name it is called by,
// through a symlink for instance, or that its first argument names. A folder with
// such symlinks is what controller-runtime's envtest expects in
// KUBEBUILDER_ASSETS.
//
// One binary, because the last three are made of the same packages: linked apart
// they take more than twice the space and the time.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
	_ "time/tzdata" // CronJobs may name a time zone, and the machine may not know it

	"go.etcd.io/etcd/server/v3/etcdmain"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // kubectl's ways to log in
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // metrics of client-go
	_ "k8s.io/component-base/metrics/prometheus/version"  // the version as a metric
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

// programs are the mains by name. Each reads os.Args.
var programs = map[string]func(){
	"etcd":                    func() { etcdmain.Main(os.Args) },
	"kube-apiserver":          func() { os.Exit(cli.Run(apiserver.NewAPIServerCommand())) },
	"kube-controller-manager": func() { os.Exit(cli.Run(controllermanager.NewControllerManagerCommand())) },
	"kubectl": func() {
		if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
			kubectlutil.CheckErr(err) // prints it and exits
		}
	},
}

// followVar has a server end when its parent does. A test that is killed, or that
// panics at its time limit, cannot stop what it started.
const followVar = "KUBETOOLS_FOLLOW_PARENT"

func follow(parent int) {
	for range time.Tick(time.Second) {
		if os.Getppid() != parent {
			os.Exit(1)
		}
	}
}

func main() {
	parent := os.Getppid()
	name := filepath.Base(os.Args[0])
	if programs[name] == nil && len(os.Args) > 1 {
		name = os.Args[1]
		os.Args = os.Args[1:]
	}
	run := programs[name]
	if run == nil {
		fmt.Fprintln(os.Stderr, "kubetools: call me etcd, kube-apiserver, kube-controller-manager or kubectl, or give one of these as the first argument")
		os.Exit(2)
	}
	if os.Getenv(followVar) != "" && name != "kubectl" {
		go follow(parent)
	}
	run()
}
