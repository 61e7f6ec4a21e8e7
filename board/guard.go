package board

import (
	"context"
	"fmt"
	"time"
)

const (
	// guardEvery is how often the temperature is read.
	guardEvery = time.Second
	// guardBelow is how far below the limit work goes on, in degrees.
	guardBelow = 3
)

// Guard keeps a board below a temperature: its user calls Wait before each piece of work.
type Guard struct {
	Limit float64 // degrees Celsius; 0: no guard
	Board *Board
	Say   func(string)

	// Waited is the time that was spent waiting, and Hottest the highest temperature that was read.
	Waited  time.Duration
	Hottest float64

	next  time.Time
	sleep func(context.Context, time.Duration) error
}

// Check refuses a limit on a board whose temperature is not known: it would guard nothing.
func (g *Guard) Check() error {
	if g.Limit > 0 && !g.Board.Read().Known {
		return fmt.Errorf("--temp-limit %g: this system shows no temperature (/sys/class/thermal)", g.Limit)
	}
	return nil
}

// Wait returns at once on a cool board; on one at its limit it sleeps until the board has cooled down a little, and says so.
func (g *Guard) Wait(ctx context.Context) error {
	if g.Limit == 0 || time.Now().Before(g.next) {
		return nil
	}
	g.next = time.Now().Add(guardEvery)
	t := g.read()
	if t < g.Limit {
		return nil
	}
	if g.Say != nil {
		g.Say(fmt.Sprintf("%.1f C: at the limit of %g C, waiting for %g C", t, g.Limit, g.Limit-guardBelow))
	}
	sleep := g.sleep
	if sleep == nil {
		sleep = pause
	}
	for t > g.Limit-guardBelow {
		if err := sleep(ctx, guardEvery); err != nil {
			return err
		}
		g.Waited += guardEvery
		t = g.read()
	}
	return nil
}

func (g *Guard) read() float64 {
	t := g.Board.Read().Celsius
	g.Hottest = max(g.Hottest, t)
	return t
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
