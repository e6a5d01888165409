// Command gohttp gets a page for 5 s, as Go programs do.
package main

import (
	"flag"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

func main() {
	url := flag.String("url", "http://127.0.0.1/page.html", "the page")
	workers := flag.Int("workers", 2, "goroutines; 2 is what the default client keeps")
	pause := flag.Duration("pause", 40*time.Millisecond, "between two requests of a goroutine, on average")
	noKeepAlive := flag.Bool("no-keepalive", false, "set DisableKeepAlives")
	undrained := flag.Bool("undrained", false, "close bodies without reading them")
	flag.Parse()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = *noKeepAlive
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	end := time.Now().Add(5 * time.Second)
	var wait sync.WaitGroup
	for range *workers {
		wait.Go(func() {
			for time.Now().Before(end) {
				get(client, *url, !*undrained)
				time.Sleep(time.Duration(rand.ExpFloat64() * float64(*pause)))
			}
		})
	}
	wait.Wait()
}

func get(client *http.Client, url string, read bool) {
	r, err := client.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Body.Close()
	if !read {
		return
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		log.Fatal(err)
	}
}
