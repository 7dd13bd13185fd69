# frozen_string_literal: true

require_relative "checks"
require_relative "debugger"
require_relative "log"
require_relative "native"
require_relative "reactor"
require_relative "transport"
require_relative "transport/attached_keepalive"

module EventMachine
  module WebSocket
    # A version of the protocol, for a connection whose bytes pass through Ruby: bytes in, callbacks
    # and bytes out, by the native core. One subclass a version, named after it.
    #
    # A connection in the background has one, too, once it is open, and asks its transport itself.
    class Handler
      include Debugger

      # The size of the events of one message: its kind and its payload.
      EVENT_SIZE = 2
      private_constant :EVENT_SIZE

      # @param version [Integer] as in {Handshake#protocol_version}
      # @return [Class] the Handler of that version
      # @raise [HandshakeError] if it is not spoken
      def self.klass_factory(version)
        VERSIONS.fetch(version) do
          raise HandshakeError, "Protocol version #{version} not supported"
        end
      end

      # The Handler of a connection whose bytes do not pass through Ruby.
      #
      # @api private
      # @param connection [Connection]
      # @param native [Native::Connection]
      # @param version [Integer]
      # @return [Handler]
      def self.in_background(connection, native, version)
        handler = VERSIONS.fetch(version).allocate
        handler.speak_for(connection, native)
        handler
      end

      # See {.in_background}.
      #
      # @api private
      def speak_for(connection, native)
        @connection = connection
        @debug = nil
        @protocol = native
      end

      # Sends a message to a connection whose bytes pass through Ruby, if it can have it.
      #
      # @api private
      # @return [Boolean]
      def self.sent?(connection, message, binary)
        handler = Transport.get(connection, :@handler)
        return false unless handler && handler.state == :connected

        if binary
          # The versions without binary messages are those without pings.
          handler.pingable? && connection.send_binary(message).positive?
        else
          connection.send_text(message)
          true
        end
      end

      # @param connection [Connection] whom the callbacks and the bytes go to
      # @param debug [Boolean]
      def initialize(connection, debug = false)
        @connection = connection
        @debug = debug
        @protocol = Native::Protocol.new(self.class::VERSION, connection.close_timeout,
                                         Transport.of(connection).strict?(connection))
        @events = []
        @transport = Transport.of(connection)
        @keepalive = Keepalive.new(self, connection)
        @pending = nil
        @may_batch = @wants_batch = @in_batch = false
      end

      # @api private
      # @return [String, nil] the client's address, packed
      attr_reader :peername

      # Messages are compressed from now on, as the opening handshake agreed.
      #
      # @api private
      # @param deflate [Native::Deflate]
      def compress(deflate)
        @protocol.compress(deflate)
      end

      # Watches over the connection, as far as the options of {WebSocket.run} ask for it.
      #
      # @api private
      # @param options [Options]
      def watch(options)
        # EventMachine cannot be asked about a connection that is gone.
        @peername = @connection.get_peername if Reactor.knows?(@connection.signature)
        @keepalive.watch(options)
        rate = options[:messages_per_second]
        @protocol.limit_rate(rate, Keepalive::PING) if rate
      end

      # The connection can be asked to gather what is sent while the messages of one read are told.
      #
      # @api private
      def allow_batches
        @may_batch = true
      end

      # @return [Symbol] `:connected`, `:closing` or `:closed`
      def state
        @protocol.state
      end

      # @return [Boolean]
      def pingable?
        @protocol.pingable?
      end

      # @return [Boolean]
      def supports_close_codes?
        @protocol.supports_close_codes?
      end

      # @api private
      # @return [Boolean] whether the client is in the middle of a message
      def amid?
        @protocol.amid?
      end

      # Takes what came with the opening handshake; once it goes on, where the application has
      # paused the connection.
      #
      # @api private
      # @param data [String]
      def begin(data)
        @connection.paused? ? @pending = data : receive_data(data)
      end

      # The connection goes on.
      #
      # @api private
      def resumed
        EventMachine.next_tick { receive_data("") if @pending && !@connection.paused? } if @pending
      end

      # Takes the next bytes of the peer, however they are cut.
      #
      # @param data [String]
      def receive_data(data)
        if @pending
          data = @pending + data
          @pending = nil
        end
        @keepalive.record_read
        frame = @connection.max_frame_size
        message = @transport.longest_message(@connection, frame)
        @events.concat(@protocol.receive(data, frame, message))
        @wants_batch = @may_batch && @events.size > EVENT_SIZE && !@in_batch
        deliver
      ensure
        @wants_batch = false
        end_batch if @in_batch
      end

      # (see Connection#send_text)
      def send_text_frame(data)
        return @protocol.send_text(data, self) unless @events

        debug [:sending_frame, :text, data] if @debug
        @keepalive.record_message
        begin_batch if @wants_batch
        put(@protocol.text(data))
        nil
      end

      # (see Connection#send_binary)
      def send_binary_frame(data)
        return @protocol.send_binary(data, self) unless @events

        debug [:sending_frame, :binary, data] if @debug
        @keepalive.record_message
        begin_batch if @wants_batch
        frame = @protocol.binary(data)
        frame.is_a?(Integer) ? frame : put(frame) || -1
      end

      # (see Connection#ping)
      def ping(body)
        return @protocol.ping(body) unless @events

        debug [:sending_frame, :ping, body]
        put(@protocol.ping(body))
        pingable?
      end

      # (see Connection#pong)
      def pong(body)
        return @protocol.pong(body) unless @events

        debug [:sending_frame, :pong, body]
        put(@protocol.pong(body))
        pingable?
      end

      # Begins the closing handshake. Left without answer for `close_timeout`, it ends with an
      # error.
      #
      # @param code [Integer, nil]
      # @param body [String, nil]
      def close_websocket(code, body)
        return @protocol.close_websocket(code, body) unless @events

        @transport.send_published
        @protocol.close_timeout = @connection.close_timeout
        was_closing = state == :closing
        finish(*@protocol.close(code, body))
        return if was_closing || state != :closing

        @keepalive.await_close(@connection.close_timeout, -> { left_unanswered })
      end

      # The application has not asked for the close that follows: what it sends meanwhile goes
      # nowhere, without an error.
      #
      # @api private
      def unasked
        @protocol.unasked
      end

      # (see #close_websocket)
      # @api private
      def close_unasked(code, body)
        unasked
        close_websocket(code, body)
      end

      # The TCP connection is gone.
      #
      # @return [Hash] what `onclose` is told
      def closed
        @keepalive.cancel
        @protocol.closed
      end

      # The TCP connection is gone: `onclose` is told.
      def unbind
        event = @events ? closed : @protocol.closed
        @connection.trigger_on_close(Log.ended(@connection, event))
      end

      private

      def deliver
        while (kind = @events.shift)
          begin
            tell(kind, @events.shift)
          rescue StandardError => e
            Transport.application_error(@connection, e)
          end
        end
      ensure
        # An exception leaves; what came behind it is not lost.
        EventMachine.next_tick { deliver } unless @events.empty?
      end

      # A message costs no Array here: there are many of them.
      def tell(kind, payload)
        debug [:message_received, kind, payload] if @debug && !%i[close error].include?(kind)
        case kind
        when :text, :binary then tell_message(kind, payload)
        when :ping then tell_ping(payload)
        when :pong
          @connection.trigger_on_pong(payload) unless @keepalive.answered?(payload)
        when :close
          debug [:close_frame_received, *payload]
          tell_close(payload)
        when :error then tell_error(payload)
        end
      end

      def tell_message(kind, payload)
        @keepalive.record_message
        if kind == :text
          @connection.trigger_on_message(payload)
        else
          @connection.trigger_on_binary(payload)
        end
      end

      def tell_ping(body)
        begin_batch if @wants_batch
        put(@protocol.answer(body))
        @connection.trigger_on_ping(body)
      end

      # Answers the peer's close. A peer that answers ours has read what came before it, unless both
      # were sent at the same moment.
      def tell_close(payload)
        is_answer = state == :closing
        bytes, progress = @protocol.peer_closed(*payload)
        progress = :abort if is_answer && progress == :close_after_writing && written?
        finish(bytes, progress)
      end

      def written?
        !Transport.get(@connection, :@signature).is_a?(Integer) ||
          !EventMachine.reactor_running? || @connection.get_outbound_data_size.zero?
      end

      def tell_error(error)
        debug [:error, error]
        Log.error(@connection, error)
        bytes, progress = @protocol.fail
        put(bytes)
        @connection.trigger_on_error(error)
      ensure
        finish(nil, progress)
      end

      def left_unanswered
        error = @protocol.time_out
        tell_error(error) if error
      end

      def finish(bytes, progress)
        put(bytes)
        case progress
        when :close_after_writing then @connection.close_connection_after_writing
        when :abort then @connection.close_connection
        end
      end

      def put(bytes)
        return if bytes.nil? || bytes.empty?

        @connection.send_data(bytes)
        bytes.bytesize
      end

      # The first time that something is sent while a read is told, and more of it waits.
      def begin_batch
        @wants_batch = false
        return if @events.empty?

        @in_batch = true if @transport.begin_batch(@connection, @protocol)
      end

      def end_batch
        @in_batch = false
        @transport.end_batch(@protocol)
      end
    end

    [75, 76, 3, 5, 6, 7, 8, 13].each do |version|
      handler = Class.new(Handler)
      handler.const_set(:VERSION, version)
      const_set(format("Handler%02d", version), handler)
    end

    class Handler
      # Handlers by the versions that they speak.
      VERSIONS = {
        75 => Handler75, 76 => Handler76, 1 => Handler03, 2 => Handler03, 3 => Handler03,
        5 => Handler05, 6 => Handler06, 7 => Handler07, 8 => Handler08, 13 => Handler13
      }.freeze
    end
  end
end
