# frozen_string_literal: true

require "open3"

# Runs a step, says how long it took, and shows what it printed only where it fails.
def quietly(title, *command, env: {}, **options)
  since = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  output, status = Open3.capture2e(env, *command, **options)
  failure = "it ended with #{status.exitstatus || status}" unless status.success?
  failure ||= yield(output) if block_given?
  if failure
    warn output
    abort "#{title}: #{failure} (#{command.join(" ")})"
  end
  seconds = Process.clock_gettime(Process::CLOCK_MONOTONIC) - since
  puts format("%-20<title>s %6.1<seconds>f s", title: title, seconds: seconds)
end
