# frozen_string_literal: true

require "socket"
require_relative "admission"
require_relative "debugger"
require_relative "handler"
require_relative "handshake"
require_relative "limits"
require_relative "options"
require_relative "outflow"
require_relative "overrides"
require_relative "transport/background_methods"

module EventMachine
  module WebSocket
    # One client. It is what the block of {WebSocket.run} is given, and an EventMachine::Connection:
    # `EM.start_server(host, port, EM::WebSocket::Connection, options) { |ws| }` works too.
    #
    # Callbacks run on the reactor's thread. {#send}, {#send_binary}, {#ping}, {#pong} and {#close}
    # may be called from any thread; what one thread sends arrives in its order.
    class Connection < EventMachine::Connection
      include Admission
      include Debugger
      include Outflow
      include Transport::BackgroundMethods

      # @param options [Hash] those of {WebSocket.run}; all of them are kept in `@options`
      # @raise [ArgumentError] if one of them cannot be what it is
      def initialize(options = {})
        super
        @options = options
        @checked_options = Options.of(options, @checked_options)
        options = @checked_options.values
        @debug = options[:debug] || false
        @secure = options[:secure] || false
        @secure_proxy = options[:secure_proxy] || false
        @tls_options = options[:tls_options] || {}
        @close_timeout = options[:close_timeout] if options[:close_timeout]
        @outbound_limit = options[:outbound_limit] || 0
        @max_message_size = options[:max_message_size] if options[:max_message_size]
        @strict = options[:strict] || false
        @handler = nil
        unless @native
          @corked = nil
          limit_opening(options[:handshake_timeout])
        end
        debug [:initialize]
      end

      # @!group Callbacks

      # Called when the opening handshake is done.
      #
      # @yieldparam handshake [Handshake]
      # @return [Proc] the block
      def onopen(&block)
        @onopen = block
      end

      # Called with each text message.
      #
      # @yieldparam message [String] UTF-8
      # @return [Proc] the block
      def onmessage(&block)
        @onmessage = block
      end

      # Called with each binary message.
      #
      # @yieldparam message [String] ASCII-8BIT
      # @return [Proc] the block
      def onbinary(&block)
        @onbinary = block
      end

      # Called once, when the connection is gone.
      #
      # @yieldparam event [Hash] `:code` (Integer), `:reason` (String; absent without a closing
      #   handshake), `:was_clean` (Boolean)
      # @return [Proc] the block
      def onclose(&block)
        @onclose = block
      end

      # Called with what a client has done wrong ({WebSocketError}), and with what the
      # application's own callbacks have raised (any other StandardError).
      #
      # @yieldparam error [StandardError]
      # @return [Proc] the block
      def onerror(&block)
        @onerror = block
      end

      # Called with the body of each ping; it has been answered already.
      #
      # @yieldparam body [String] ASCII-8BIT
      # @return [Proc] the block
      def onping(&block)
        @onping = block
      end

      # Called with the body of each pong.
      #
      # @yieldparam body [String] ASCII-8BIT
      # @return [Proc] the block
      def onpong(&block)
        @onpong = block
      end

      # @!endgroup
      # @!group What calls them

      # @param message [String]
      def trigger_on_message(message)
        @onmessage&.call(message)
      end

      # @param message [String]
      def trigger_on_binary(message)
        @onbinary&.call(message)
      end

      # @param handshake [Handshake]
      def trigger_on_open(handshake)
        @onopen&.call(handshake)
      end

      # @param event [Hash]
      def trigger_on_close(event = {})
        @onclose&.call(event)
      end

      # @param body [String]
      def trigger_on_ping(body)
        @onping&.call(body)
      end

      # @param body [String]
      def trigger_on_pong(body)
        @onpong&.call(body)
      end

      # @param error [StandardError]
      # @return [Boolean] whether there is an `onerror`
      def trigger_on_error(error)
        return false unless @onerror

        @onerror.call(error)
        true
      end

      # @!endgroup

      # Sends a text message.
      #
      # @param data [String] valid UTF-8, or ASCII in any encoding; it is neither changed nor kept
      # @return [nil] also where the connection is gone
      # @raise [WebSocketError] before `onopen`, once our close has been sent, or if it is not UTF-8
      # @raise [NoMethodError] if it is no String
      def send_text(data)
        before_open("Cannot send data before onopen callback") unless @handler
        @handler.send_text_frame(data)
      end
      alias send send_text

      # Sends a binary message.
      #
      # @param data [String] of any encoding
      # @return [Integer] the bytes queued, header included; -1 where the connection is gone
      # @raise [WebSocketError] before `onopen`, once our close has been sent, or in a draft that
      #   has no binary messages (75, 76)
      def send_binary(data)
        before_open("Cannot send binary before onopen callback") unless @handler
        @handler.send_binary_frame(data)
      end

      # Sends a ping.
      #
      # @param body [String] up to 125 bytes
      # @return [Boolean] false in a draft (75, 76) that has no pings
      # @raise [WebSocketError] before `onopen`, or if the body is too long
      def ping(body = "")
        before_open("Cannot ping before onopen callback") unless @handler
        @handler.ping(body)
      end

      # Sends a pong that nobody asked for.
      #
      # @param (see #ping)
      # @return (see #ping)
      # @raise (see #ping)
      def pong(body = "")
        before_open("Cannot ping before onopen callback") unless @handler
        @handler.pong(body)
      end

      # @return [Boolean] whether the client's version has pings
      # @raise [WebSocketError] before `onopen`
      def pingable?
        before_open("Cannot test whether pingable before onopen callback") unless @handler
        @handler.pingable?
      end

      # @return [Boolean] whether the client's version has close codes
      # @raise [WebSocketError] before `onopen`
      def supports_close_codes?
        before_open("Cannot test before onopen callback") unless @handler
        @handler.supports_close_codes?
      end

      # Begins the closing handshake (RFC 6455 section 7.1.2); before the opening one is done, ends
      # the TCP connection. On a closed connection, nothing.
      #
      # @param code [Integer, nil] 1000, 1001, 1003, 1008, 1011 to 1013 or 3000 to 4999
      # @param body [String, nil] the reason, up to 123 bytes of UTF-8; the rest is cut off, and
      #   what is not UTF-8 is replaced (U+FFFD)
      # @raise [RuntimeError] if applications may not use that code
      def close(code = nil, body = nil)
        unless !code || Native.close_code?(code)
          raise "Application code may only use codes from 1000, 3000-4999"
        end

        close_websocket_private(code ? code.to_i : nil, body || nil)
      end
      alias close_websocket close

      # @return [Symbol] `:handshake`, `:connected`, `:closing` or `:closed`
      def state
        @handler ? @handler.state : :handshake
      end

      # @return [String, nil] the client's IP address, in `onclose` and later, too; nil where it has
      #   none, on a Unix-domain socket
      def remote_ip
        peername = get_peername
        return @native.peer.first if peername.nil? && @native

        peername ||= @handler&.peername
        peername && Socket.unpack_sockaddr_in(peername).last
      rescue ArgumentError
        nil # It is an address of another kind.
      end

      # @return [Numeric] the longest frame that is accepted, in bytes; {WebSocket.max_frame_size}
      #   unless set
      def max_frame_size
        @max_frame_size || WebSocket.max_frame_size
      end

      # Set in the block of {WebSocket.run} or in `onopen`, it holds for every frame.
      #
      # @param size [Numeric, nil] bytes; Float::INFINITY: no limit; nil: the module's
      # @raise [ArgumentError] if it is no number
      def max_frame_size=(size)
        @max_frame_size = Checks.limit(:max_frame_size, size)
        @native&.limit(max_frame_size, max_message_size)
      end

      # @return [Numeric] the longest message that is accepted, its fragments together, in bytes;
      #   {WebSocket.max_message_size}, or {#max_frame_size} if that is larger, unless set or given
      #   as an option
      def max_message_size
        @max_message_size || [WebSocket.max_message_size, max_frame_size].max
      end

      # Set in the block of {WebSocket.run} or in `onopen`, it holds for every message.
      #
      # @param size [Numeric, nil] bytes; Float::INFINITY: no limit; nil: the module's
      # @raise [ArgumentError] if it is no number
      def max_message_size=(size)
        @max_message_size = Checks.limit(:max_message_size, size)
        @native&.limit(max_frame_size, max_message_size)
      end

      # @return [Boolean] whether frames must be masked and plain HTTP is answered: `:strict`
      def strict?
        @strict || false
      end

      # @return [Numeric] how long our close may stay without answer, in seconds;
      #   {WebSocket.close_timeout} unless the option says otherwise
      def close_timeout
        @close_timeout || WebSocket.close_timeout
      end

      # @!group Hooks

      # Called by EventMachine when there is a connection.
      def post_init
        start_tls(@tls_options) if @secure
      end

      # Called with the bytes of the client, where they pass through Ruby.
      #
      # @param data [String]
      def receive_data(data)
        debug [:receive_data, data] if @debug
        if @handler
          @handler.receive_data(data)
        else
          dispatch(data)
        end
      rescue StandardError => e
        application_error(e)
      end

      # Called with the bytes of the opening handshake, where they pass through Ruby.
      #
      # @param data [String]
      def dispatch(data)
        @handshake ||= opening_handshake
        case @handshake.receive_data(data)
        when :healthcheck then send_healthcheck_response
        when :flash_policy then send_flash_cross_domain_file
        end
      end

      # Sends bytes as they are, beside the protocol. Past the `:outbound_limit`, the connection is
      # aborted.
      #
      # @param data [String, #to_s]
      # @return [Integer] how many
      def send_data(data)
        data = data.to_s
        return @native.send_data(data) if @native

        @corked&.uncork
        if @outbound_limit&.positive? &&
           get_outbound_data_size + data.bytesize > @outbound_limit
          abort(:outbound_limit_reached)
          return 0
        end
        sent = super
        watch_outflow if @ondrain
        sent
      end

      # Called when the connection is gone.
      def unbind
        debug %i[unbind connection] if @debug
        @response&.withdraw
        @opening_timer&.cancel
        trigger_on_close(@handler.closed) if @handler
      rescue StandardError => e
        debug [:error, e]
        trigger_on_error(e) || raise
      end

      # @!endgroup

      # Answers `GET /healthcheck`, and ends the connection.
      def send_healthcheck_response
        debug [:healthcheck_response]
        send_data(Native::HEALTHCHECK_RESPONSE)
        close_connection_after_writing
      end

      # Answers a Flash player's `<policy-file-request/>`, and ends the connection.
      def send_flash_cross_domain_file
        debug [:cross_domain]
        send_data(Native::FLASH_POLICY)
        close_connection_after_writing
      end

      private

      def close_websocket_private(code, body)
        if @handler
          debug [:closing, code] if @debug
          @handler.close_websocket(code, body)
        else
          abort(:handshake_incomplete)
        end
        nil
      end

      def abort(reason = nil)
        debug [:aborting, reason]
        close_connection
      end

      # What an application's own callback has raised: 3000 is what RFC 6455 leaves to frameworks.
      def application_error(error)
        debug [:error, error]
        close_websocket_private(3000, "Application error")
        trigger_on_error(error) || raise(error)
      end

      def before_open(text)
        raise WebSocketError, text
      end
    end

    Overrides.seal(Connection)
  end
end
