# frozen_string_literal: true

require "json"
require "rbconfig"
require_relative "apart"
require_relative "../torture/usage"

# A server in a process of its own, whose memory nobody else takes. Its messages are ignored.
class MeasuredServer
  TIMEOUT = 8

  # Answers a line with a line, in a thread: the reactor may be asleep.
  PROGRAM = <<~'RUBY'
    require "json"
    require "socket"

    gate = Queue.new
    answers = {
      "stats" => -> { EM::WebSocket.stats },
      "sleep" => -> { EM.next_tick { gate.pop }; nil },
      "wake" => -> { gate << true; nil },
      "collect" => -> { GC.start }
    }
    options = JSON.parse(ARGV.first, symbolize_names: true)
    $stdout.sync = true
    EM.run do
      server = EM::WebSocket.run(host: "127.0.0.1", port: 0, **options) do |ws|
        ws.onmessage { |_| nil }
      end
      puts JSON.generate(Socket.unpack_sockaddr_in(EM.get_sockname(server)).first)
      Thread.new do
        $stdin.each_line { |line| puts JSON.generate(answers.fetch(line.chomp).call) }
        exit!
      end
    end
  RUBY

  attr_reader :port

  def initialize(**options)
    command = [RbConfig.ruby, "-I", Apart::LIBRARY, "-r", "em-websocket", "-e", PROGRAM]
    @pipe = IO.popen([*command, JSON.generate(options)], "r+")
    @usage = Torture::Usage.new(@pipe.pid)
    @port = hear
  end

  def stats = ask("stats").transform_keys(&:to_sym)

  # Blocks the reactor until the block is done.
  def while_asleep
    ask("sleep")
    yield
  ensure
    ask("wake")
  end

  # The most bytes that waited, and the most memory beyond what there was, for so many seconds.
  def at_most(seconds: 1.5)
    ask("collect")
    @usage.mark
    yield
    deadline = now + seconds
    waited = []
    while now < deadline
      waited << stats[:bytes_waiting]
      sleep 0.01
    end
    [waited.max, @usage.peak_growth]
  end

  def stop
    Process.kill(:KILL, @pipe.pid)
    @pipe.close
  end

  private

  def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

  def ask(name)
    @pipe.puts(name)
    hear
  end

  def hear
    raise "the server says nothing" unless @pipe.wait_readable(TIMEOUT)

    JSON.parse(@pipe.gets || raise("the server is gone"))
  end
end
