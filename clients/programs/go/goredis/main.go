// Command goredis sets a key of Redis for 5 s, with one client or with a new one each time.
package main

import (
	"context"
	"flag"
	"log"
	"time"

	"github.com/redis/go-redis/v9"
)

func main() {
	each := flag.Bool("each", false, "a client for each command")
	flag.Parse()
	ctx := context.Background()
	options := &redis.Options{Addr: "127.0.0.1:6379"}
	kept := redis.NewClient(options)
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
		client := kept
		if *each {
			client = redis.NewClient(options)
		}
		if err := client.Set(ctx, "key", "value", 0).Err(); err != nil {
			log.Fatal(err)
		}
		if *each {
			if err := client.Close(); err != nil {
				log.Fatal(err)
			}
		}
	}
}
