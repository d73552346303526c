// Pod is what the tests of the stand-in kubelet run: a server that tells what it
// sees and does what it is told.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

var (
	mu     sync.Mutex
	states = map[string]int{"/ready": 200, "/live": 200} // what probes are answered
)

func main() {
	fmt.Println("started with", strings.Join(os.Args[1:], " "))
	if code := os.Getenv("EXIT"); code != "" {
		n, _ := strconv.Atoi(code)
		os.Exit(n)
	}
	if os.Getenv("CHILD") != "" {
		child := exec.Command("sleep", "600")
		if err := child.Start(); err != nil {
			panic(err)
		}
		fmt.Println("child", child.Process.Pid)
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() {
		for range term {
			fmt.Println("was asked to end")
			if os.Getenv("STUBBORN") == "" {
				os.Exit(0)
			}
		}
	}()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", answer)
	mux.HandleFunc("GET /live", answer)
	mux.HandleFunc("POST /ready/{code}", set)
	mux.HandleFunc("POST /live/{code}", set)
	mux.HandleFunc("POST /exit/{code}", func(_ http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.PathValue("code"))
		os.Exit(code)
	})
	mux.HandleFunc("GET /env/{name}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, os.Getenv(r.PathValue("name")))
	})
	mux.HandleFunc("GET /args", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Join(os.Args[1:], " "))
	})
	// A file that an argument names.
	mux.HandleFunc("GET /file/{arg}", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.PathValue("arg"))
		text, err := os.ReadFile(os.Args[n])
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		_, _ = w.Write(text)
	})
	mux.HandleFunc("GET /fetch", func(w http.ResponseWriter, r *http.Request) {
		resp, err := http.Get(r.URL.Query().Get("url"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	})
	fmt.Println(http.ListenAndServe(os.Getenv("POD_IP")+":8080", mux))
	os.Exit(1)
}

func answer(w http.ResponseWriter, r *http.Request) {
	mu.Lock()
	defer mu.Unlock()
	w.WriteHeader(states[r.URL.Path])
}

func set(_ http.ResponseWriter, r *http.Request) {
	mu.Lock()
	defer mu.Unlock()
	path := r.URL.Path[:strings.LastIndex(r.URL.Path, "/")]
	states[path], _ = strconv.Atoi(r.PathValue("code"))
}
