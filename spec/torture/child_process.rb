# frozen_string_literal: true

require "json"
require "socket"
require_relative "usage"

module Torture
  # A fork that is spoken with in lines of JSON.
  class ChildProcess
    class Failed < StandardError; end

    PATIENCE = 60

    attr_reader :pid, :usage

    # The block runs in the child, and is given its end of the line.
    def initialize(&block)
      @line, theirs = UNIXSocket.pair
      # What waits to be written is the parent's.
      $stdout.flush
      @pid = fork { live(theirs, &block) }
      theirs.close
      @usage = Usage.new(@pid)
    end

    # The next thing that it says.
    def hear(patience = PATIENCE)
      line = @line.gets if @line.wait_readable(patience)
      raise Failed, "#{self.class} says nothing" unless line

      JSON.parse(line, symbolize_names: true)
    end

    def say(*words) = @line.puts(JSON.generate(words))

    def ask(*words)
      say(*words)
      hear
    end

    # Its exit status, once it has ended after its line has; nil if it does not end.
    def finish(patience = PATIENCE)
      return @status if @status

      @line.close unless @line.closed?
      deadline = now + patience
      until (_, @status = Process.wait2(@pid, Process::WNOHANG))
        return signal(:KILL) && nil if now > deadline

        sleep 0.01
      end
      @status
    end

    # Ends it at once.
    def kill
      signal(:KILL)
      _, @status = Process.wait2(@pid)
    end

    # Tells if it is known to have ended.
    def ended? = !@status.nil?

    def killed? = @status&.termsig == Signal.list["KILL"]

    def signal(name) = Process.kill(name, @pid)

    private

    # Sockets that the child had too would not end when the parent closes them, and what Ruby closes
    # once it is collected would be missed.
    def live(line)
      ObjectSpace.each_object(IO) { |io| io.close if io != line && !io.closed? && io.fileno > 2 }
      yield line
      exit!(0)
    rescue Exception => e # rubocop:disable Lint/RescueException -- this process ends with it
      warn e.full_message(highlight: false)
      exit!(1)
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
