# frozen_string_literal: true

require_relative "../native"

module EventMachine
  module WebSocket
    # A plain HTTP request: what the block of {Connection#onhttp} and the callables of `:http` are
    # given. It may be kept for as long as you like, and used on any thread.
    class HttpRequest
      # @return [String] the body, decoded where it came in chunks; ASCII-8BIT, `""` where there is
      #   none
      attr_reader :body

      # @return [String, nil] the client's IP address; behind a proxy as `:trusted_proxies` or
      #   `:proxy_protocol` have it; nil where it has none, on a Unix-domain socket
      attr_reader :remote_ip

      # @api private
      # @param request [Native::Request]
      # @param body [String]
      # @param native [Native::Connection] of the client
      def initialize(request, body, native)
        @request = request
        @body = body
        @remote_ip, @remote_port = native.peer
        @local = native.local
        @remote_ip = native.client_ip || @remote_ip
        @forwarded = native.forwarded?
      end

      # @return [String] `"GET"`, `"POST"` and so on
      def request_method
        @request.request_method
      end

      # @return [Boolean] whether the response has no body: HEAD
      def head?
        request_method == "HEAD"
      end

      # @return [String] the path, as sent
      def path
        @request.path
      end

      # @return [String] what follows the `?`, as sent; `""` where there is none
      def query_string
        @request.query_string
      end

      # @return [Hash{String => String, nil}] the query's pairs, not decoded; of two with one name
      #   the last
      def query
        @request.query
      end

      # @return [Hash{String => String, Array<String>}] the headers, spelled as the client spelled
      #   them; one that came more than once is an Array, and one that is not UTF-8 is ASCII-8BIT
      def headers
        @headers ||= @request.headers
      end

      # @return [Hash{String => String, Array<String>}] {#headers}, their names in lower case
      def headers_downcased
        @headers_downcased ||= headers.transform_keys(&:downcase)
      end

      # @return [Boolean] whether it came by TLS, here or at a proxy (`:secure_proxy`)
      def secure?
        @request.secure?
      end

      # @return [String] `"HTTP/1.1"` or `"HTTP/1.0"`
      def http_version
        @request.http_version
      end

      # @api private
      # @return [Boolean] whether a proxy that is trusted has said who the client is
      def forwarded?
        @forwarded
      end

      # @api private
      # @return [Integer, nil] the client's port, or its proxy's; nil on a Unix-domain socket
      attr_reader :remote_port

      # @api private
      # @return [Array(String, Integer), nil] this side's address and port; nil on a Unix-domain
      #   socket
      attr_reader :local
    end
  end
end
