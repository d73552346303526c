// Command backend is an MCP server for a pod: with one tool, echo, and with a second
// port at which a test changes the tokens that it accepts, hangs it, and reads what it
// has counted.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/recloser-mcp/recloser/backendtest"
)

// Counts is the answer of GET /counts.
type counts struct {
	Requests, Refused, Executions int
}

func main() {
	host := os.Getenv("POD_IP")
	opts := []backendtest.Option{
		backendtest.WithName(os.Getenv("NAME")), backendtest.WithAddr(net.JoinHostPort(host, "8000")),
		backendtest.WithTool("echo", backendtest.Echo),
		// A server on a loopback address takes the name of a Service for that of an attacker.
		backendtest.WithHTTPMiddleware(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Host = net.JoinHostPort(host, "8000")
				next.ServeHTTP(w, r)
			})
		}),
	}
	if tokens := os.Getenv("TOKENS"); tokens != "" {
		opts = append(opts, backendtest.WithToken(strings.Split(tokens, ",")[0]))
	}
	srv, err := backendtest.StartServer(opts...)
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /tokens/{tokens}", func(_ http.ResponseWriter, r *http.Request) {
		srv.SetTokens(strings.Split(r.PathValue("tokens"), ",")...)
	})
	mux.HandleFunc("POST /hang", func(http.ResponseWriter, *http.Request) { srv.Inject(backendtest.Hang(backendtest.Forever)) })
	mux.HandleFunc("POST /heal", func(http.ResponseWriter, *http.Request) { srv.Heal() })
	mux.HandleFunc("GET /counts", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(counts{srv.Requests(""), srv.Refused(""), srv.Executions("echo")})
	})
	control := &http.Server{Addr: net.JoinHostPort(host, "8001"), Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { log.Println(control.ListenAndServe()) }()
	fmt.Println("serving", srv.URL)
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, os.Interrupt)
	<-end
}
