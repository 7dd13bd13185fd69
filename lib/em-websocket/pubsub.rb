# frozen_string_literal: true

require "eventmachine"
require_relative "checks"
require_relative "errors"
require_relative "gaps"
require_relative "mail"
require_relative "native"
require_relative "reactor"

module EventMachine
  # See em-websocket.rb.
  module WebSocket
    # Channels in common with other processes: the native engine is started here, and what it has to
    # tell is brought to the reactor's thread.
    #
    # @api private
    module PubSub
      # The default of {WebSocket.pubsub_limit}, in bytes.
      LIMIT = 16 * 1024 * 1024

      # EventMachine's watcher of the engine's file descriptor.
      class Watcher < EventMachine::Connection
        # Takes what has happened.
        def notify_readable
          PubSub.take
        end
      end
      private_constant :Watcher

      @urls = nil
      @limit = LIMIT

      class << self
        # @return [Array<String>, nil] the addresses
        attr_reader :urls

        # @return [Integer]
        attr_reader :limit

        # @return [Proc, nil] see {WebSocket.on_pubsub}
        attr_writer :block

        # @return [Boolean] whether there is an engine
        def active?
          !@urls.nil?
        end

        # @return [Hash{Symbol => Integer, Float}] counts; empty where there is no engine
        def stats
          (Native.pubsub_stats if active?) || {}
        end

        # @param urls [Array<String>, nil] nil: none
        # @raise [ArgumentError] if one of them is none
        def urls=(urls)
          urls ? start(urls) : stop
        end

        # @return [Array<String>] the addresses, frozen
        # @raise [ArgumentError] if they are no Strings
        def check(urls)
          urls = [urls].flatten
          unless urls.any? && urls.all?(String)
            raise ArgumentError, "pubsub: give a URL, or an Array of them, or nil"
          end

          urls.map { |url| url.dup.freeze }.freeze
        end

        # Begins, or begins anew.
        #
        # @param urls [Array<String>]
        # @raise (see #urls=)
        def start(urls)
          unless Native.respond_to?(:pubsub_start)
            raise NotImplementedError, "pubsub: the extension was built without the feature redis"
          end

          @fd = Native.pubsub_start(urls, @limit)
          @urls = urls
          end_at_exit
          Reactor.schedule { watch } if EventMachine.reactor_running?
        end

        # Ends it.
        def stop
          return unless active?

          @urls = nil
          Native.pubsub_stop
          # They are this process's own now, and as complete as they will be.
          loaded(@lock.synchronize { @waiting.keys })
          Reactor.schedule { run }
        end

        # @param bytes [Integer]
        def limit=(bytes)
          @limit = bytes
          Native.pubsub_limit(bytes) if active?
        end

        # Begins to hear what happens, in a reactor that has begun; on its thread.
        def watch
          return unless active? && EventMachine.reactor_running?
          return if @watched == [@fd, Reactor.current]

          @watched = [@fd, Reactor.current]
          Presence.share
          watcher = EventMachine.watch(@fd, Watcher)
          watcher.notify_readable = true
        end

        # Brings what has happened to those who want to know; on the reactor's thread.
        def take
          states, gaps, loaded = Native.pubsub_take
          return unless states

          Mail.deliver
          loaded(loaded)
          Presence.resume if gaps.delete(SharedPresence::CHANNEL)
          Gaps.calls(gaps).each { |call| @calls << call }
          states.each { |state, error| @calls << -> { tell(state, error) } }
          run
        end

        # Calls a block once all that there is of a channel's history is here: now, or on the
        # reactor's thread. May be called from any thread.
        #
        # @param name [String]
        # @return [Boolean] whether that was now
        def loaded?(name, &block)
          # What is loaded meanwhile is told behind this.
          is_here = @lock.synchronize do
            Native.await_load(name).tap do |here|
              (@waiting[name.dup.freeze] ||= []) << block unless here
            end
          end
          yield if is_here
          is_here
        end

        # Ends the waiting of {#loaded?}, if the block has not been called.
        def cancel(name, block)
          waited = @lock.synchronize do
            blocks = @waiting[name]
            @waiting.delete(name) if blocks == [block]
            blocks&.delete(block)
          end
          Native.release_load(name) if waited
        end

        # Waits until the brokers have what was published.
        #
        # @param timeout [Float, nil] seconds
        # @return [Boolean] whether they have
        def flush(timeout)
          deadline = timeout && (now + timeout)
          until (pending = active? ? Native.pubsub_pending : 0).zero?
            return false if deadline && now > deadline

            sleep 0.002
          end
          pending.zero?
        end

        # In a forked child: the parent's engine is not there, and the addresses hold.
        def forked
          reset
          return unless active?

          Native.pubsub_inherited.each { |fd| IO.for_fd(fd).close }

          @fd = Native.pubsub_start(@urls, @limit)
          end_at_exit
        end

        # Forgets what waits.
        def reset
          @lock = Mutex.new
          @waiting = {}
          @calls = Thread::Queue.new
          @watched = nil
          @ends_in = nil
        end

        private

        def run
          until @calls.empty?
            call = take_call
            call&.call
          end
        ensure
          # An exception of the application's leaves; the others' events are not lost.
          Reactor.next_tick { run } unless @calls.empty?
        end

        def take_call
          @calls.pop(true)
        rescue ThreadError
          nil
        end

        # Has the blocks called that wait for channels, unless more has come that has to be loaded.
        def loaded(names)
          names.each do |name|
            blocks = @lock.synchronize { @waiting.delete(name) if Native.channel_loaded?(name) }
            blocks&.each { |block| @calls << -> { call_loaded(name, block) } }
          end
        end

        def call_loaded(name, block)
          block.call
        ensure
          Native.release_load(name)
        end

        def tell(state, error)
          Presence.resume if state == :connected
          return @block.call(state, error && PubSubError.new(error)) if @block

          warn("em-websocket: pubsub: #{error}") if error
        end

        # Messages that a process publishes last have some seconds to leave.
        def end_at_exit
          return if @ends_in == Process.pid

          @ends_in = Process.pid
          at_exit do
            next if @ends_in != Process.pid || flush(FLUSH)

            warn("em-websocket: pubsub: #{Native.pubsub_pending} messages were not published")
          end
        end

        def now
          Process.clock_gettime(Process::CLOCK_MONOTONIC)
        end
      end

      # Seconds that a process waits for the brokers when it ends.
      FLUSH = 5
      private_constant :FLUSH

      reset

      # EventMachine's `run`, inside the reactor that begins.
      module Watch
        # (see Reactor.run)
        def run(*)
          EventMachine.next_tick { PubSub.watch } if PubSub.active?
          super
        end
      end
      Reactor.singleton_class.prepend(Watch)
    end

    class << self
      # Has the channels in common with all processes that name the same: `subscribe` and `publish`
      # are as before, and reach all of them. docs/scaling.md says what is promised. May be called
      # from any thread, before the reactor or in it; a forked child has the same. nil, which is the
      # default: the channels are this process's.
      #
      # @example
      #   EM::WebSocket.pubsub = "redis://:secret@127.0.0.1:6379/0"
      # @example With TLS and authorities of one's own
      #   EM::WebSocket.pubsub = "rediss://user:secret@redis.internal/0?ca=/etc/ssl/redis-ca.pem"
      # @example Processes of one host, without a broker
      #   EM::WebSocket.pubsub = "ipc:/run/app"
      # @param urls [String, Array<String>, nil] addresses of a Redis or Valkey (6.0 or newer):
      #   `redis://`, `rediss://`, `unix:`; behind a `?`, `prefix=` (`em-websocket`), what names
      #   there begin with, and `ca=`. Over several, channels are spread; every process has to name
      #   them in the same order
      # @raise [ArgumentError] if one of them is none; its text does not have it
      def pubsub=(urls)
        PubSub.urls = urls && PubSub.check(urls)
      end

      # @return [Boolean] whether the channels are in common with other processes
      def pubsub?
        PubSub.active?
      end

      # @return [Integer] the bytes of messages that may wait for each broker (16 MiB). What is
      #   published past it is lost, as {Publication#lost?} says
      def pubsub_limit
        PubSub.limit
      end

      # @param bytes [Numeric, nil] nil: the default. May be called from any thread
      # @raise [ArgumentError] if it is no number, or negative
      def pubsub_limit=(bytes)
        bytes &&= Checks.integer(:pubsub_limit, bytes, 0..Checks::MOST)
        PubSub.limit = bytes || PubSub::LIMIT
      end

      # Sets what is called when the connection to a broker has come, has gone, or when a broker has
      # refused something. Without it, errors are warned of.
      #
      # @example
      #   EM::WebSocket.on_pubsub { |state, error| logger.warn(error) if error }
      # @yieldparam state [Symbol] `:connected`, `:disconnected` (the next attempt comes by itself)
      #   or `:refused`; on the reactor's thread
      # @yieldparam error [PubSubError, nil] why; without passwords
      # @return [nil]
      def on_pubsub(&block)
        PubSub.block = block
        nil
      end

      # Waits until the brokers have what was published: for a process that has no reactor. One that
      # ends waits by itself, 5 seconds at most. May be called from any thread but the reactor's,
      # which has better things to do.
      #
      # @param timeout [Numeric] seconds; Float::INFINITY: no limit
      # @return [Boolean] whether they have
      # @raise [ArgumentError] if that is no number of seconds, or negative
      def flush_pubsub(timeout = 5)
        seconds = Checks.duration(:timeout, timeout)
        PubSub.flush(seconds == Float::INFINITY ? nil : seconds)
      end
    end
  end
end
