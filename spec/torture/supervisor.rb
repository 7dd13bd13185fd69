# frozen_string_literal: true

require "json"
require_relative "promise"

module Torture
  # Runs faults, each in a process group of its own, which is gone when the fault is over, however
  # it ended, and also when this process is killed.
  class Supervisor
    def initialize(quick:, seconds:, jobs:)
      @settings = { quick: quick, seconds: seconds }
      @jobs = jobs
      @groups = {}
      @mutex = Mutex.new
      # Nobody writes to it: it ends when this process does.
      @lifeline, @held = IO.pipe
    end

    # All promises; yields each fault's name and how long it took, as it ends.
    def run(faults, &ended)
      end_with_us
      waiting = faults.each_with_index.to_a
      results = {}
      lanes = Array.new(@jobs) { Thread.new { run_lane(waiting, results, ended) } }
      lanes.each(&:join)
      results.sort.flat_map(&:last)
    ensure
      kill_all
    end

    private

    def run_lane(waiting, results, ended)
      while (fault, index = @mutex.synchronize { waiting.shift })
        since = now
        rows = try(fault)
        @mutex.synchronize do
          results[index] = rows
          ended.call(fault.id, now - since)
        end
      end
    end

    def try(fault)
      reader, writer = IO.pipe
      pid = @mutex.synchronize do
        fork { live(fault, reader, writer) }.tap { |group| @groups[group] = true }
      end
      writer.close
      lines, ending = watch(pid, reader, fault.limit(@settings))
      rows = lines.lines.map { |line| promise_of(line) }
      return rows unless ending

      rows << Promise.new(fault: fault.id, text: "comes to its end", value: ending, limit: :equals,
                          bound: "it does")
    ensure
      finish(pid)
      reader&.close
    end

    # Output of the fault, and what kept it from coming to its end, if anything did. (The pipe does
    # not end while a server of the fault's has it, too.)
    def watch(pid, reader, limit)
      deadline = now + limit
      lines = +""
      loop do
        _, status = Process.wait2(pid, Process::WNOHANG)
        while (piece = reader.read_nonblock(65_536, exception: false)).is_a?(String)
          lines << piece
        end
        return [lines, ("it ended with #{status}" unless status.success?)] if status
        return [lines, "after #{limit} s it had not"] if now > deadline

        sleep 0.02
      end
    end

    def promise_of(line)
      row = JSON.parse(line, symbolize_names: true)
      Promise.new(**row, limit: row[:limit]&.to_sym)
    end

    # Ends the whole group.
    def finish(pid)
      kill(pid)
      Process.wait(pid)
    rescue Errno::ECHILD
      nil
    ensure
      @mutex.synchronize { @groups.delete(pid) }
    end

    def kill(group)
      Process.kill(:KILL, -group)
    rescue Errno::ESRCH
      nil
    end

    def kill_all = @groups.each_key { |group| kill(group) }

    def end_with_us
      %w[INT TERM HUP].each do |signal|
        trap(signal) do
          kill_all
          exit!(1)
        end
      end
    end

    # In the fault's own process.
    def live(fault, reader, writer)
      Process.setsid
      %w[INT TERM HUP].each { |signal| trap(signal, "DEFAULT") }
      reader.close
      @held.close
      Thread.new do
        @lifeline.wait_readable
        Process.kill(:KILL, 0)
      end
      fault.new(**@settings) { |row| writer.syswrite("#{JSON.generate(row.to_h)}\n") }.measure
      exit!(0)
    rescue Exception => e # rubocop:disable Lint/RescueException -- this process ends with it
      warn "#{fault.id}: #{e.full_message(highlight: false)}"
      exit!(1)
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
