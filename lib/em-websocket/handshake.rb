# frozen_string_literal: true

require_relative "handler"
require_relative "native"
require_relative "options"

module EventMachine
  module WebSocket
    # The opening handshake: what the client asked for. `onopen` is given one; it may be kept for as
    # long as you like.
    #
    # It is also a Deferrable that can be fed by hand: `callback { |response, handler_class| }` once
    # the request is complete and accepted, `errback { |error| }` where it is refused.
    class Handshake
      include EventMachine::Deferrable

      # @return [Integer, nil] the version of the protocol: 75, 76, 1, 2, 3, 5, 6, 7, 8 or 13; nil
      #   until the request is complete
      attr_reader :protocol_version

      # An opening handshake that has been answered already.
      #
      # @api private
      def self.answered(request, response = nil)
        allocate.tap { |handshake| handshake.__send__(:answered_with, request, response) }
      end

      # @param secure [Boolean] whether answers that name the URL name it `wss://`
      # @param options [Hash] of those of {WebSocket.run} `:strict`, `:versions`, `:compression`,
      #   `:protocols`, `:protocols_required`, `:max_header_size`, `:max_headers` and
      #   `:trusted_proxies`
      # @param peer [String, nil] the address that the request comes from; `"unix"`: a Unix-domain
      #   socket; nil: nobody is trusted
      # @raise [ArgumentError] if one of them cannot be what it is
      def initialize(secure, options = Options::NONE, peer = nil)
        @secure = secure ? true : false
        options = Options.of(options)
        @native = Native::Handshake.new(@secure, options[:strict] || false, options.settings, peer)
      end

      # Takes the next bytes of the request, however they are cut.
      #
      # @param data [String]
      # @return [Symbol, nil] `:healthcheck` or `:flash_policy` where the bytes are no opening
      #   handshake but one of these
      def receive_data(data)
        return keep(data) if @undecided

        case result = @native.receive(data)
        when nil, Symbol then result
        else
          finish(*result)
          nil
        end
      end

      # @return [String] the path of the request, as sent
      def path
        request.path
      end

      # @return [String] what follows the `?`, as sent; `""` where there is none
      def query_string
        request.query_string
      end

      # @return [Hash{String => String, nil}] the query's pairs, not decoded; of two with one name
      #   the last
      def query
        request.query
      end

      # @return [String, nil] the `Origin` header; ASCII-8BIT where it is not UTF-8
      def origin
        request.origin
      end

      # @return [Array<String>] the subprotocols that the client offers, in its order
      def protocols
        request.protocols
      end

      # @return [String, nil] the subprotocol that is selected
      def protocol
        @response ? @response.protocol : request.protocol
      end

      # @return [Hash{String => String, Array<String>}] the headers, spelled as the client spelled
      #   them; one that came more than once is an Array, and one that is not UTF-8 is ASCII-8BIT
      def headers
        @headers ||= request.headers
      end

      # @return [Hash{String => String, Array<String>}] {#headers}, their names in lower case
      def headers_downcased
        @headers_downcased ||= headers.transform_keys(&:downcase)
      end

      # @return [String, nil] the client's IP address, as {Connection#remote_ip}; behind one of the
      #   `:trusted_proxies` as that says; nil where it is not known
      def remote_ip
        @remote_ip ||= request.remote_ip || @connection&.remote_ip
      end

      # @return [Boolean] whether the URL of this connection begins with `wss://`; behind one of the
      #   `:trusted_proxies`, whether the client's does, as far as that says
      def secure?
        @secure
      end

      # The connection that it is of, where the bytes pass through Ruby.
      #
      # @api private
      # @return [Connection, nil]
      attr_writer :connection

      # @api private
      # @return [String, nil] the client's IP address as trusted proxies say it is
      def client
        @native.client
      end

      # Bytes behind the request: the first frames of a client in a hurry.
      #
      # @api private
      # @return [String, nil]
      attr_reader :rest

      # Compression of messages, where it was agreed to.
      #
      # @api private
      # @return [Native::Deflate, nil]
      attr_reader :deflate

      # The HTTP answer to a refused request, where it gets one.
      #
      # @api private
      # @return [String, nil]
      attr_reader :refusal

      # Takes the block that is asked before the response: it must see to {#accept}.
      #
      # @api private
      # @yieldparam response [Native::Response]
      def before_response(&block)
        @before_response = block
      end

      # Takes the block that is told of bytes that come before the answer.
      #
      # @api private
      # @yieldparam size [Integer] of all of them
      def on_early(&block)
        @on_early = block
      end

      # Sends the response, which is decided.
      #
      # @api private
      # @param response [Native::Response]
      def accept(response)
        @response = response
        @undecided = false
        succeed(response.to_s, Handler.klass_factory(@protocol_version))
      end

      private

      def request
        @request || raise(WebSocketError, "The opening handshake is not complete")
      end

      def answered_with(request, response)
        @request = request
        @response = response
        @secure = request.secure?
        @protocol_version = request.protocol_version
        @deferred_status = :succeeded
      end

      def finish(first, response, rest = nil, deflate = nil)
        if first.is_a?(HandshakeError)
          @refusal = response
          fail(first)
        else
          @request = first
          @secure = first.secure?
          @protocol_version = first.protocol_version
          @rest = rest
          @deflate = deflate
          @response = response
          return accept(response) unless @before_response

          @undecided = true
          @before_response.call(response)
        end
      end

      def keep(data)
        @rest << data
        @on_early&.call(@rest.bytesize)
        nil
      end
    end
  end
end
