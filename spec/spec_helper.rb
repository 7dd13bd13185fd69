# frozen_string_literal: true

# `COMPAT=upstream rspec` runs these examples against the em-websocket that is installed; plain
# `rspec` runs them against this library. Tags:
#   :extension            em-websocket has no such thing
#   :fixed                behaves better here than em-websocket does (docs/compat.md)
#   upstream: "reason"    the em-websocket that is installed differs from the reference
# All three are left out where the suite runs against em-websocket.
#   :shared_reactor       the reactor is the group's, which stops it
UPSTREAM = ENV["COMPAT"] == "upstream"

# RSpec puts lib on the load path by itself.
library = File.expand_path("../lib", __dir__)
$LOAD_PATH.delete(library)
$LOAD_PATH.unshift(library) unless UPSTREAM

require "English"
require "timeout"
require "em-websocket"

Dir[File.join(__dir__, "support", "**", "*.rb")].each { |file| require file }

Thread.report_on_exception = true

RSpec.configure do |config|
  config.disable_monkey_patching!
  config.expect_with(:rspec) { |expectations| expectations.syntax = :expect }
  config.mock_with(:rspec) { |mocks| mocks.verify_partial_doubles = true }
  config.include Serving

  if UPSTREAM
    %i[extension fixed upstream].each do |tag|
      config.filter_run_excluding(tag => ->(set) { set })
    end
  end

  config.around do |example|
    Timeout.timeout(example.metadata.fetch(:timeout, 20)) { example.run }
  end

  config.before do
    events # made here, before two threads can make it at once
    @threads_before = Thread.list
  end

  config.after do |example|
    release
    leftover = Thread.list - @threads_before
    leftover.each { |thread| thread.join(2) }
    leftover.select!(&:alive?)
    leftover.reject! { |thread| thread.inspect.include?("timeout.rb") }
    raise "an example left threads: #{leftover.inspect}" if leftover.any?

    running = EM.reactor_running? && !example.metadata[:shared_reactor]
    raise "an example left a running reactor" if running

    # What follows would take the way of the raw bytes.
    raise "an example left a hook of Connection's overridden" if overridden?
  end
end
