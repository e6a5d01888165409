// Command gosql queries PostgreSQL for 5 s through database/sql.
package main

import (
	"database/sql"
	"flag"
	"log"
	"math/rand/v2"
	"sync"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver
)

func main() {
	workers := flag.Int("workers", 4, "goroutines")
	idle := flag.Int("idle", -1, "SetMaxIdleConns, unless it is -1")
	lifetime := flag.Duration("lifetime", 0, "SetConnMaxLifetime")
	pause := flag.Duration("pause", 40*time.Millisecond, "between two queries of a goroutine, on average")
	query := flag.String("query", "select 1", "the query")
	flag.Parse()
	db, err := sql.Open("pgx", "")
	if err != nil {
		log.Fatal(err)
	}
	if *idle >= 0 {
		db.SetMaxIdleConns(*idle)
	}
	db.SetConnMaxLifetime(*lifetime)
	end := time.Now().Add(5 * time.Second)
	var wait sync.WaitGroup
	for range *workers {
		wait.Go(func() {
			for time.Now().Before(end) {
				if _, err := db.Exec(*query); err != nil {
					log.Fatal(err)
				}
				time.Sleep(*pause/2 + rand.N(*pause))
			}
		})
	}
	wait.Wait()
	if err := db.Close(); err != nil {
		log.Fatal(err)
	}
}
