package bench

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A child is this test binary started again in another role.
const (
	childEnv  = "RECLOSER_BENCH_CHILD"
	targetEnv = "RECLOSER_BENCH_TARGET"
)

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "backend":
		serveBackend()
	case "reverseproxy":
		serveReverseProxy(os.Getenv(targetEnv))
	default:
		os.Exit(m.Run())
	}
}

// announce prints the address, so that the parent finds it.
func announce(l net.Listener) { fmt.Println(l.Addr().String()) }

func serveReverseProxy(target string) {
	u, err := url.Parse("http://" + target)
	if err != nil {
		panic(err)
	}
	p := httputil.NewSingleHostReverseProxy(u)
	// Enough idle connections: with the default of two per host the proxy
	// would mostly dial, and the comparison would flatter us.
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, 256
	p.Transport = t
	p.FlushInterval = -1
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	announce(l)
	panic(http.Serve(l, p)) //nolint:gosec // a benchmark's child on loopback
}

type process struct {
	cmd  *exec.Cmd
	addr string
}

func start(b *testing.B, role, target string) *process {
	b.Helper()
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+role, targetEnv+"="+target)
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatalf("%s did not start: %v", role, err)
	}
	return &process{cmd: cmd, addr: strings.TrimSpace(line)}
}

// buildRecloser builds the product once.
func buildRecloser(b *testing.B) string {
	b.Helper()
	bin := filepath.Join(b.TempDir(), "recloser")
	out, err := exec.Command("go", "build", "-o", bin, "../cmd/recloser").CombinedOutput()
	if err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// gateway is the product in front of one backend, with its admin address.
type gateway struct {
	process
	admin string
}

// startGateway runs the binary with the given configuration, in which LISTEN and
// ADMIN stand for free addresses, and waits until it serves a tool.
func startGateway(b *testing.B, bin, config string) *gateway {
	b.Helper()
	listen, admin := freeAddr(b), freeAddr(b)
	file := filepath.Join(b.TempDir(), "recloser.yaml")
	config = strings.NewReplacer("LISTEN", listen, "ADMIN", admin).Replace(config)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(bin, "serve", "--config", file)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	ctx, cancel := context.WithTimeout(b.Context(), 20*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		resp, err := http.Get("http://" + admin + "/readyz")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return &gateway{process{cmd, listen}, admin}
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	b.Fatal("the gateway serves no tool after 20 s")
	return nil
}

func freeAddr(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// cpu returns the processor time a process has used.
func (p *process) cpu(b *testing.B) time.Duration {
	b.Helper()
	if runtime.GOOS != "linux" {
		b.Skip("processor time of another process is read from /proc")
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
}

// mallocs reads the gateway's count of heap allocations from its metrics.
func (g *gateway) mallocs(b *testing.B) float64 {
	b.Helper()
	resp, err := http.Get("http://" + g.admin + "/metrics")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	s := bufio.NewScanner(resp.Body)
	for s.Scan() {
		if rest, ok := strings.CutPrefix(s.Text(), "go_memstats_mallocs_total "); ok {
			n, err := strconv.ParseFloat(rest, 64)
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatal("no go_memstats_mallocs_total in the gateway's metrics")
	return 0
}
