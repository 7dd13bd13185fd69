# frozen_string_literal: true

require "eventmachine"
require_relative "servers"

module EventMachine
  module WebSocket
    # EventMachine's reactor: which one runs, and blocks to be run on its thread.
    #
    # @api private
    module Reactor
      @later = Thread::Queue.new

      class << self
        # @return [Object, nil] what stands for the reactor that runs
        attr_reader :current

        # Runs a block on the reactor's thread: now where this is it, otherwise in its next round.
        # Where there is no reactor, or none any more when the block's turn would come, whoever
        # finds that out runs it. May be called from any thread, and in a signal handler, which the
        # block is never run in while there is a reactor.
        def schedule(&block)
          return yield if EventMachine.reactor_running? && EventMachine.reactor_thread? && !trapped?

          next_tick(&block)
        end

        # The same, in the next round also on the reactor's thread.
        def next_tick(&block)
          # EventMachine's own queue is thrown away with the reactor, or survives into the next one.
          @later << block
          signal if EventMachine.reactor_running?
          # It may have ended meanwhile.
          run_all unless EventMachine.reactor_running?
          nil
        end

        # Runs a reactor; nothing of it is left afterwards.
        def run
          reactor = @current = Object.new
          yield
        ensure
          left = Servers.all.select { |server| server.reactor.equal?(reactor) }
          each_of_all(proc { left.pop&.method(:stop) })
          run_all unless EventMachine.reactor_running?
        end

        # @return [Boolean] whether EventMachine has a connection of its own with this signature
        def knows?(signature)
          connections = EventMachine.instance_variable_get(:@conns)
          connections&.key?(signature) || false
        end

        # Forgets, in a forked child, what waits: it is the parent's.
        def forked
          @later = Thread::Queue.new
          @current = nil
        end

        private

        # Tells if this is a signal handler, where no lock can be taken.
        def trapped?
          Mutex.new.synchronize { false }
        rescue ThreadError
          true
        end

        def signal
          return Thread.new { EventMachine.next_tick { run_one } } if trapped?

          EventMachine.next_tick { run_one }
        end

        def run_one
          take&.call
        end

        def run_all
          each_of_all(method(:take))
        end

        # Runs all blocks, also if one raises: the first exception is raised after the last block.
        def each_of_all(source)
          failure = nil
          while (block = source.call)
            begin
              block.call
            rescue Exception => e # rubocop:disable Lint/RescueException
              failure ||= e
            end
          end
          raise failure if failure
        end

        def take
          @later.pop(true)
        rescue ThreadError
          nil
        end
      end

      # EventMachine's `run`, which tells the servers that the reactor has ended: one that another
      # thread started meanwhile is watched by nobody.
      module Watch
        # Runs the reactor, and returns when nothing of it is left.
        def run(*)
          return super if reactor_running?

          Reactor.run { super }
        end
      end

      EventMachine.singleton_class.prepend(Watch)
    end
  end
end
