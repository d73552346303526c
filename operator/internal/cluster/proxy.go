package cluster

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"
)

// ProxyURL is an HTTP proxy to pods and Services, for processes that cannot use
// DialContext. It streams, opens a connection for each request, and adds no header.
// Where a connection cannot be made or breaks it ends the client's connection
// rather than answering for the server: a client sees a broken connection where it
// would have seen a refused one, but never a status that nobody sent.
func (n *Network) ProxyURL() *url.URL {
	return &url.URL{Scheme: "http", Host: n.listener.Addr().String()}
}

// ProxyEnv is what has a process use the proxy. Loopback addresses are
// reached directly.
func (n *Network) ProxyEnv() map[string]string {
	env := make(map[string]string)
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"} {
		env[name] = n.ProxyURL().String()
	}
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		env[name] = "localhost,127.0.0.1,127.0.0.0/8"
	}
	return env
}

func (n *Network) startProxy() error {
	var err error
	if n.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	quiet := log.New(io.Discard, "", 0)
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.Host = r.In.Host
			if _, ok := r.In.Header["User-Agent"]; !ok {
				r.Out.Header["User-Agent"] = nil // or the transport would add one
			}
		},
		Transport:     &http.Transport{DialContext: n.DialContext, DisableKeepAlives: true, DisableCompression: true},
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { sever(w) },
		ErrorLog:      quiet,
	}
	n.server = &http.Server{ErrorLog: quiet, ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodConnect:
			n.tunnel(w, r)
		case r.URL.IsAbs():
			forward.ServeHTTP(w, r)
		default:
			http.Error(w, "this is a proxy", http.StatusBadRequest)
		}
	})}
	go func() { _ = n.server.Serve(n.listener) }() // until stop
	return nil
}

// sever ends a connection without an answer.
func sever(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // ends it as well
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a reset, not an end
	}
	conn.Close()
}

// tunnel connects a client with a server, for TLS between the two.
func (n *Network) tunnel(w http.ResponseWriter, r *http.Request) {
	server, err := n.DialContext(r.Context(), "tcp", r.Host)
	if err != nil {
		sever(w)
		return
	}
	defer server.Close()
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	up := make(chan error, 1)
	go func() {
		_, err := io.Copy(server, buffered)
		if tcp, ok := server.(*net.TCPConn); ok {
			err = errors.Join(err, tcp.CloseWrite())
		}
		up <- err
	}()
	_, _ = io.Copy(client, server)
	// The server has said everything. What the client still sends has no reader.
	client.Close()
	<-up
}
