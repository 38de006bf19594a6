// What a stream of the emulated device has been given to do.
//
// Where FASTNN_EMULATOR_LATE is set nothing is done before somebody waits for it, as it may
// be on a GPU: what reads or gives back too early is found out.
#pragma once

#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>

#include "core/kernels.h"

namespace fastnn::emulated {

struct Work {
  virtual ~Work() = default;
  virtual Status run() = 0;
};

template <class F>
struct WorkOf final : Work {
  explicit WorkOf(F f) : function(std::move(f)) {}
  Status run() override { return function(); }
  F function;
};

inline bool late() {
  static const bool is = std::getenv("FASTNN_EMULATOR_LATE") != nullptr;
  return is;
}

// In the order in which it was given. One thread at a time does work, of all queues.
class Queue {
 public:
  void give(std::unique_ptr<Work> work) {
    const std::lock_guard lock(mutex());
    items_.push_back(std::make_shared<Item>(Item{this, std::move(work), nullptr}));
  }
  // What follows comes after what the other one has been given so far.
  void come_after(Queue& other) {
    const std::lock_guard lock(mutex());
    if (other.items_.empty()) return;
    items_.push_back(std::make_shared<Item>(Item{this, nullptr, other.items_.back()}));
  }
  // Does all; the first failure ends it, and leaves the rest undone for good.
  Status finish() {
    const std::lock_guard lock(mutex());
    Status status = Status::ok;
    while (!items_.empty()) {
      const Status next = do_next();
      if (status == Status::ok) status = next;
    }
    return status;
  }

 private:
  struct Item {
    Queue* queue;
    std::unique_ptr<Work> work;
    std::shared_ptr<Item> after;
    bool done = false;
  };

  static std::recursive_mutex& mutex() {
    static auto* const the = new std::recursive_mutex;
    return *the;
  }
  Status do_next() {
    const std::shared_ptr<Item> item = items_.front();
    Status status = Status::ok;
    while (item->after != nullptr && !item->after->done && status == Status::ok) {
      status = item->after->queue->do_next();
    }
    if (item->work != nullptr) status = item->work->run();
    item->done = true;
    items_.pop_front();
    if (status != Status::ok) {
      for (const auto& left : items_) left->done = true;
      items_.clear();
    }
    return status;
  }

  std::deque<std::shared_ptr<Item>> items_;
};

}  // namespace fastnn::emulated
