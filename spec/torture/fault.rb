# frozen_string_literal: true

require_relative "bystander"
require_relative "client"
require_relative "ledger"
require_relative "promise"
require_relative "server_process"

module Torture
  # Something that goes wrong, and what is promised nevertheless. Each runs in a process of its own.
  class Fault
    MIB = 1024.0 * 1024

    # The memory of a process beside that which waits, in MiB: Ruby's objects, connections, places
    # to read to.
    BESIDES = 64

    class << self
      attr_reader :id, :title

      def all = @all ||= []

      # @param id [String] its name on the command line
      # @param limit [Integer] the longest it may take, in seconds, on a busy machine
      def fault(id, title, limit: 120, quick: true)
        @id = id
        @title = title
        @limit = limit
        @quick = quick
        Fault.all << self
      end

      def quick? = @quick
      def limit(_settings) = @limit
    end

    def initialize(quick:, seconds:, &report)
      @quick = quick
      @seconds = seconds
      @report = report
      @children = []
    end

    def measure
      raise_descriptor_limit
      run
      @children.grep(ServerProcess).reject(&:ended?).each { |server| check_counters(server) }
      @children.reject(&:killed?).each { |child| check_end(child) }
    end

    private

    def quick? = @quick
    def scaled(full, quick) = quick? ? quick : full

    # A row with a promise.
    def promise(text, value, unit = nil, **limit)
      kind, bound = limit.first
      row(text: text, value: value, unit: unit, limit: kind, bound: bound)
    end

    # A row that only tells.
    def tell(text, value, unit = nil) = row(text: text, value: value, unit: unit)

    def leave_out(text, why) = row(text: text, unit: why)

    def row(**fields) = @report.call(Promise.new(fault: self.class.id, **fields))

    # A server in a process of its own, which must live as long as the fault.
    def serve(...) = ServerProcess.new(...).tap { |server| @children << server }

    # A process of its own that does what the block says, and must come to its end.
    def child(...) = ChildProcess.new(...).tap { |process| @children << process }

    def serve_echo(options = {}, **settings)
      serve(options, **settings) { |ws| ws.onmessage { |text| ws.send(text) } }
    end

    # Memory at the most since the mark, in MiB.
    def memory(server, at_most:, kind: nil)
      promise [kind, "memory at the most"].compact.join(": "), server.usage.peak_growth / MIB,
              "MiB more", at_most: at_most
    end

    # One who does nothing wrong meanwhile.
    def bystander(server, **options) = Bystander.new(server.port, **options)

    def unaffected(bystander)
      seen = bystander.finish
      promise "a bystander's messages answered", seen[:answered], equals: seen[:sent]
      promise "a bystander waits (99 of 100)", seen[:most] * 1000, "ms", at_most: 1000
      tell "a bystander waits (median)", seen[:median] * 1000, "ms"
    end

    # Once nobody is there any more, nothing counts; and what the process took was counted.
    def check_counters(server)
      ObjectSpace.each_object(BasicSocket) do |socket|
        socket.close unless socket.closed? || socket.is_a?(UNIXSocket)
      end
      promise "counted, when all are gone", settles_at([0, 0, 0]) { server.ask(:counters) }.to_s,
              equals: "[0, 0, 0]"
      promise "memory beyond twice what was counted", server.ask(:beyond) / MIB, "MiB",
              at_most: self.class::BESIDES
    rescue ChildProcess::Failed, SystemCallError => e
      promise "counted, when all are gone", e.message, equals: "[0, 0, 0]"
    end

    def check_end(child)
      status = child.finish
      return if status&.success?

      promise "its process ends well", status ? status.inspect : "it hangs", equals: "it does"
    end

    # Yields until it is true, or for so long; what it came to.
    def eventually(seconds = 20, every: 0.02)
      deadline = now + seconds
      sleep(every) until (result = yield) || now > deadline
      result
    end

    # A value that is expected to come to this: what it is then, or at last.
    def settles_at(expected, seconds = 20)
      value = nil
      eventually(seconds) { (value = yield) == expected }
      value
    end

    def program?(name) = system("which", name, out: File::NULL)

    def timed
      since = now
      yield
      now - since
    end

    def raise_descriptor_limit
      _, hard = Process.getrlimit(:NOFILE)
      Process.setrlimit(:NOFILE, hard, hard)
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
