// The lock of a network: many readers, or one writer.
//
// A forked child begins with every gate open, since the threads that held them are
// not in it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace fastnn {

// Called now and then by whatever waits or works for long; what it throws ends that.
using Poll = std::function<void()>;

// Grows in a child with every fork.
unsigned fork_generation();

// What a thread does around its waits for gates; it may be one that holds Python's lock, which
// those that it waits for may need.
class AroundWaits {
 public:
  AroundWaits(const AroundWaits&) = delete;
  AroundWaits& operator=(const AroundWaits&) = delete;
  virtual void before() = 0;
  virtual void after() = 0;

 protected:
  AroundWaits();  // from here on around those of this thread, in place of the one that was
  virtual ~AroundWaits();

 private:
  AroundWaits* const outer_;
};

// While it lives, nothing is done around the waits of this thread. For calls within another one,
// which a poll has let in: what is around the waits of that one is for its own.
class PlainWaits {
 public:
  PlainWaits();
  PlainWaits(const PlainWaits&) = delete;
  PlainWaits& operator=(const PlainWaits&) = delete;
  ~PlainWaits();

 private:
  AroundWaits* const outer_;
};

class Gate {
 public:
  Gate();
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  ~Gate();

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable freed;  // of readers, or of a change
    const unsigned generation = fork_generation();
    int readers = 0;
    bool writing = false;
    std::atomic<std::thread::id> writer;  // while `writing`
    bool changing = false;
    std::atomic<std::thread::id> changer;  // while a step waits or is made
  };
  State& state();
  // Refused where this very thread makes a change, which a signal handler has interrupted.
  static void refuse_within_change(const State& state);
  // Waits until no change is under way; refused as above.
  static void wait_for_change(State& state, std::unique_lock<std::mutex>& lock);
  // Waits for some milliseconds at most; whether it was not so long. The lock is given away.
  static bool wait(State& state, std::unique_lock<std::mutex>& lock);

  std::atomic<State*> state_;  // replaced in the child of a fork

 public:
  // std::runtime_error that says where the writer is: another thread, or this one, which a signal
  // handler has interrupted, or which trains several networks.
  [[noreturn]] void refuse_beside_writer();

  // std::runtime_error where this thread reads any gate: a signal handler has interrupted that.
  static void refuse_within_reading();

  // Refused while there is a writer; a change is waited for.
  class Reading {
   public:
    explicit Reading(Gate& gate);
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;
    ~Reading();

   private:
    State& state_;
  };

  // Waits for readers, refused while there is another writer, or where this very
  // thread is reading.
  class Writing {
   public:
    Writing(Gate& gate, const Poll& poll);
    Writing(const Writing&) = delete;
    Writing& operator=(const Writing&) = delete;
    ~Writing();

   private:
    State& state_;
  };

  // For a step of single parameters. Waits for readers and changes, and readers wait for it;
  // refused beside a writer, or where this very thread is reading.
  class Stepping {
   public:
    Stepping(Gate& gate, const Poll& poll);
    Stepping(const Stepping&) = delete;
    Stepping& operator=(const Stepping&) = delete;
    ~Stepping();

   private:
    void open();

    State& state_;
  };

  // For copies into what readers read: waits for them, and those that come wait until it ends.
  // Refused beside a writer. A thread that reads the same gate would wait for itself: see
  // refuse_within_reading.
  class Replacing {
   public:
    Replacing(Gate& gate, const Poll& poll);
    Replacing(const Replacing&) = delete;
    Replacing& operator=(const Replacing&) = delete;
    ~Replacing();

   private:
    State& state_;
  };

  // For changes that take no time. Refused beside a reader, a writer or another change.
  class Changing {
   public:
    explicit Changing(Gate& gate);
    Changing(const Changing&) = delete;
    Changing& operator=(const Changing&) = delete;
    ~Changing();

   private:
    State& state_;
  };
};

}  // namespace fastnn
