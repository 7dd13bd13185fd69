# frozen_string_literal: true

require "ipaddr"
require_relative "../checks"

module EventMachine
  module WebSocket
    # A page of this library's, at a path that the application has named, and who may see it.
    #
    # @api private
    BuiltIn = Struct.new(:name, :networks)

    # The option `:http`: who answers plain HTTP, by path.
    #
    # @api private
    class HttpRoutes
      # The pages of this library's.
      BUILT_INS = %i[health metrics stats live].freeze

      # Clients that may see each, unless it is said: `:anyone`, or these networks' addresses. The
      # page to look inside is for whoever sits at the machine.
      NETWORKS = { live: %w[127.0.0.0/8 ::1].map { |network| IPAddr.new(network) }.freeze }.freeze
      private_constant :NETWORKS

      # @param option [Hash{String => Symbol, String, #call, Hash}]
      # @return [HttpRoutes, nil]
      # @raise [ArgumentError] if a key is no path, or a value none of these
      def self.of(option)
        return if option == 0 # rubocop:disable Style/NumericPredicate -- it may be anything
        unless option.is_a?(Hash)
          raise ArgumentError, "http: an object of #{option.class} is no Hash of paths"
        end

        new(option.to_h { |path, value| [path_of(path), entry_of(path, value)] }.freeze)
      end

      class << self
        private

        def path_of(path)
          return path.dup.freeze if path.is_a?(String) && path.match?(%r{\A/[^?#]*\z})

          raise ArgumentError, "http: #{Checks.shown(path)} is no path"
        end

        def entry_of(path, value)
          case value
          when String then value.dup.freeze
          when Symbol then built_in(path, value, NETWORKS.fetch(value, :anyone))
          when Hash then of_networks(path, value)
          else
            return value if value.respond_to?(:call)

            raise ArgumentError, "http: an object of #{value.class} at #{path} is no response"
          end
        end

        # `{ live: ["10.0.0.0/8"] }`, `{ live: :anyone }`
        def of_networks(path, value)
          name, networks = value.first if value.size == 1
          return built_in(path, name, :anyone) if networks == :anyone

          networks = Array(networks).map { |network| IPAddr.new(network) }
          raise ArgumentError, "http: nobody may see #{path}" if networks.empty?

          built_in(path, name, networks.freeze)
        rescue IPAddr::Error => e
          raise ArgumentError, "http: #{path}: #{e.message}"
        end

        def built_in(path, name, networks)
          return BuiltIn.new(name, networks).freeze if BUILT_INS.include?(name)

          raise ArgumentError, "http: #{Checks.shown(name)} at #{path} is none of " \
                               "#{BUILT_INS.map(&:inspect).join(", ")}"
        end
      end

      # @param entries [Hash{String => BuiltIn, String, #call}]
      def initialize(entries)
        @entries = entries
        freeze
      end

      # @param path [String] of a request
      # @return [BuiltIn, String, #call, nil]
      def entry(path)
        @entries[path]
      end
    end
  end
end
