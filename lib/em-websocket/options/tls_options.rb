# frozen_string_literal: true

require_relative "../checks"

module EventMachine
  module WebSocket
    # The option `:tls_options`: EventMachine's keys for `start_tls`.
    #
    # @api private
    module TlsOptions
      # Paths of files.
      FILES = %i[private_key_file cert_chain_file dhparam].freeze

      # Bytes, to the native core; the label of their encoding is of no account.
      TEXTS = %i[private_key cert private_key_pass cipher_list ecdh_curve].freeze

      # Truthy or not.
      FLAGS = %i[verify_peer fail_if_no_peer_cert].freeze

      # Advice on what may be given.
      ADVICE = "give a Hash with :private_key_file and :cert_chain_file"
      private_constant :ADVICE

      # Every key that a server reads.
      KEYS = [*FILES, *TEXTS, *FLAGS, :ssl_version].freeze

      # Every key of EventMachine's.
      KNOWN = [*KEYS, :sni_hostname].freeze

      module_function

      # @param options [#[]]
      # @raise [ArgumentError] if they are no Hash, or a key of ours is a String
      def check(options)
        Checks.no_strings(:tls_options, Checks.keyed(:tls_options, options, ADVICE), KNOWN)
      end

      # Reads them, each once.
      #
      # @param options [#[]]
      # @return [Array] the values of {KEYS}, for {values}
      # @raise (see check)
      def given(options)
        check(options)
        KEYS.map { |key| options[key] }
      end

      # @param given [Array]
      # @return [Array] the same, of what stays as it is when the application changes its Strings
      def kept(given)
        given.map { |value| value.is_a?(String) || value.is_a?(Array) ? value.dup : value }
      end

      # @param given [Array]
      # @return [Hash{Symbol => String, Boolean, Array<String>}] what was given, typed
      # @raise [ArgumentError] if one cannot be what it is; its text names it, never what it is
      def values(given)
        KEYS.zip(given).to_h.compact.to_h { |key, value| [key, typed(key, value)] }
      end

      # @return [Array<String>] the paths of the files that are read
      def files(values)
        values.values_at(:private_key_file, :cert_chain_file).compact.reject(&:empty?)
      end

      # @return [String, Boolean, Array<String>] a value as the native core takes it
      def typed(key, value)
        case key
        when *FILES then path(key, value)
        when *TEXTS then string(key, value, "String")
        when *FLAGS then value ? true : false
        else [value].flatten.map(&:to_s)
        end
      end

      # Path as File.open takes it.
      def path(key, value)
        string(key, value.respond_to?(:to_path) ? value.to_path : value, "path")
      end

      def string(key, value, kind)
        return value.to_str if value.respond_to?(:to_str)

        raise ArgumentError, "tls_options[:#{key}]: an object of #{value.class} is no #{kind}"
      end
    end
  end
end
